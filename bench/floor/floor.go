package floor

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/berth-cache/berth/bench/image"
)

// smallest is the size in bytes from which a blob is a file.
const smallest = 64 << 10

// Stock is what a floor has.
type Stock struct {
	Images []image.Spec `json:"images,omitempty"`
}

// item is what stands behind one path: content, or the name of a file.
type item struct {
	content           []byte
	file              string
	mediaType, digest string
}

// Handler serves a stock. It is for concurrent use; New has read all it needs.
type Handler struct{ items map[string]item }

// New makes the content of stock, large blobs as files in folder.
func New(s Stock, folder string) (*Handler, error) {
	h := &Handler{items: map[string]item{"/v2/": {content: []byte("{}"), mediaType: "application/json"}}}
	for _, spec := range s.Images {
		m, err := image.Make(spec)
		if err != nil {
			return nil, fmt.Errorf("stock: %w", err)
		}
		manifest := item{content: m.Manifest, mediaType: m.MediaType, digest: m.Digest.String()}
		for _, reference := range []string{image.Tag, m.Digest.String()} {
			h.items["/v2/"+m.Repository+"/manifests/"+reference] = manifest
		}
		for _, p := range append([]image.Part{m.Config}, m.Layers...) {
			if err := h.add(m.Repository, p, folder); err != nil {
				return nil, err
			}
		}
	}
	return h, nil
}

func (h *Handler) add(repository string, p image.Part, folder string) error {
	one := item{mediaType: "application/octet-stream", digest: p.Digest.String()}
	if p.Blob.Size < smallest {
		one.content = p.Blob.Bytes()
	} else {
		one.file = filepath.Join(folder, p.Digest.Encoded())
		if err := write(one.file, p.Blob); err != nil {
			return fmt.Errorf("stock %s: %w", p.Digest, err)
		}
	}
	h.items["/v2/"+repository+"/blobs/"+p.Digest.String()] = one
	return nil
}

func write(name string, b image.Blob) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, b.Reader()); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	one, ok := h.items[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", one.mediaType)
	if one.digest != "" {
		header.Set("Docker-Content-Digest", one.digest)
	}
	if one.file != "" {
		serveFile(w, r, one.file)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(one.content)))
	if r.Method != http.MethodHead {
		w.Write(one.content) //nolint:errcheck // a client that left is its own trouble
	}
}

func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, err := os.Open(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close()
	http.ServeContent(w, r, "", time.Time{}, f)
}

package upstream

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/bench/image"
)

// registry answers the pull half of the distribution API.
type registry struct {
	conditions Conditions
	library    *image.Library
	counter    *counter
	tokens     *tokens
}

// ServeHTTP implements http.Handler.
func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.counter.requests.Add(1)
	if !wait(req.Context().Done(), r.conditions.Latency) {
		return
	}
	if req.URL.Path == tokenPath {
		r.tokens.serve(w, req)
		return
	}
	if r.conditions.Auth && !r.tokens.valid(req) {
		r.tokens.challenge(w, req)
		return
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if !ok {
		http.NotFound(w, req)
		return
	}
	if path == "" {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte("{}")) //nolint:errcheck // a client that left is its own trouble
		return
	}
	if repository, reference, ok := strings.Cut(path, "/manifests/"); ok {
		r.manifest(w, req, repository, reference)
	} else if repository, reference, ok := strings.Cut(path, "/blobs/"); ok {
		r.blob(w, req, repository, digest.Digest(reference))
	} else {
		http.NotFound(w, req)
	}
}

func (r *registry) manifest(w http.ResponseWriter, req *http.Request, repository, reference string) {
	m, ok := r.library.Image(repository, reference)
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	h := w.Header()
	h.Set("Content-Type", m.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(m.Manifest)))
	h.Set("Docker-Content-Digest", m.Digest.String())
	h.Set("Etag", `"`+m.Digest.String()+`"`)
	if req.Method == http.MethodHead {
		return
	}
	r.counter.manifests.Add(1)
	r.counter.body(w).Write(m.Manifest) //nolint:errcheck // a client that left is its own trouble
}

func (r *registry) blob(w http.ResponseWriter, req *http.Request, repository string, d digest.Digest) {
	b, ok := r.library.Blob(repository, d)
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	if req.Method == http.MethodGet {
		r.counter.blobs.Add(1)
	}
	if r.conditions.WholeOnly {
		req.Header.Del("Range")
		w = wholeOnly{w}
	}
	http.ServeContent(r.counter.body(w), req, "", time.Time{}, b.Reader())
}

// wholeOnly keeps an answer from promising ranges.
type wholeOnly struct{ http.ResponseWriter }

func (w wholeOnly) WriteHeader(status int) {
	w.Header().Del("Accept-Ranges")
	w.ResponseWriter.WriteHeader(status)
}

// refuse answers with an error as the specification has it.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprint(w, `{"errors":[{"code":"`+code+`","message":"said by the bench's upstream"}]}`)
}

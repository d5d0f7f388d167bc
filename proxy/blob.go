package proxy

import (
	"context"
	"net/http"
	"strconv"

	"github.com/berth-cache/berth/pull"
)

// blob answers for a blob, whole or in ranges, from what is held or while it arrives.
func (h *Handler) blob(w *response, r *http.Request, q pull.Query) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	r = inBytes(r)
	b, err := h.puller.Blob(ctx, q)
	if err != nil {
		return err
	}
	w.came(b.Origin)
	header := w.Header()
	etag := `"` + string(b.Digest) + `"`
	header.Set("Docker-Content-Digest", string(b.Digest))
	header.Set("ETag", etag)
	header.Set("Accept-Ranges", "bytes")
	header.Set("Content-Type", "application/octet-stream")
	if q.Head {
		if matches(r.Header.Get("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		header.Set("Content-Length", strconv.FormatInt(b.Size, 10))
		w.WriteHeader(http.StatusOK)
		return nil
	}
	defer b.Reader.Close()
	if b.Size < 0 && r.Header.Get("Range") == "" {
		// The upstream does not tell the size: in chunks, ended only when it is verified.
		w.WriteHeader(http.StatusOK)
		_, err := w.ReadFrom(b.Reader)
		return w.copied(b.Reader.Err(), err)
	}
	serveContent(w, r, b.Reader, cancel)
	return w.copied(b.Reader.Err(), w.clientError)
}

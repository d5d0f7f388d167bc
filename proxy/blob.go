package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/berth-cache/berth/cache"
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
	if b.Reader != nil {
		defer b.Reader.Close()
		r = forwards(r, b.Reader)
	}
	// An upstream may not tell the size. Then a blob goes out in chunks, ended only when it
	// is verified; ranges wait for its end, and so does HTTP/1.0, which has no chunks and
	// cannot tell a connection that was cut from the end.
	chunks := b.Size < 0 && r.Header.Get("Range") == "" && r.ProtoAtLeast(1, 1)
	if b.Size < 0 && !chunks {
		if _, err := b.Reader.Seek(0, io.SeekEnd); err != nil {
			return broughtIn(b.Reader, err)
		}
	}
	w.came(b.Origin)
	header := w.Header()
	etag := `"` + string(b.Digest) + `"`
	w.values.set(header, keyDigest, string(b.Digest))
	w.values.set(header, keyETag, etag)
	header[keyAcceptRanges] = rangesInBytes
	w.values.set(header, keyContentType, "application/octet-stream")
	if q.Head {
		w.blobHead(r, b.Size, etag)
		return nil
	}
	if whole := b.Size >= 0 && unconditional(r); chunks || whole {
		if whole {
			w.values.set(header, keyContentLength, strconv.FormatInt(b.Size, 10))
		}
		w.WriteHeader(http.StatusOK)
		_, err := w.ReadFrom(b.Reader)
		return w.copied(b.Reader.Err(), err)
	}
	serveContent(w, r, b.Reader, cancel)
	return w.copied(b.Reader.Err(), w.clientError)
}

// blobHead ends the answer to a HEAD of a blob, whose other headers are set.
func (w *response) blobHead(r *http.Request, size int64, etag string) {
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.values.set(w.Header(), keyContentLength, strconv.FormatInt(size, 10))
	w.WriteHeader(http.StatusOK)
}

// unconditional tells whether r asks for all of a blob, come what may. That nearly every one
// does, and it costs less without what http.ServeContent looks at.
func unconditional(r *http.Request) bool {
	for _, key := range []string{"Range", "If-Match", "If-None-Match"} {
		if _, asks := r.Header[key]; asks {
			return false
		}
	}
	return true
}

// broughtIn is the answer for a blob that did not come in, because of err, before any of it
// was sent.
func broughtIn(reader *cache.Reader, err error) error {
	if _, ok := errors.AsType[*pull.Error](err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	message := "the blob cannot be brought in: the upstream broke it off too often"
	switch {
	case reader.Unstored(), errors.Is(err, cache.ErrStore):
		message = "the blob cannot be kept here, and the upstream does not tell its size: so it goes out in chunks alone, ask over HTTP/1.1 and without a Range, or when the store is well again"
	case errors.Is(err, cache.ErrMismatch), errors.Is(err, cache.ErrLength):
		message = "the blob cannot be brought in: the upstream's bytes are not what was asked for"
	}
	return &apiError{
		status: http.StatusServiceUnavailable, code: codeUnavailable, outcome: "unavailable", retryAfter: retryLater,
		message: message,
	}
}

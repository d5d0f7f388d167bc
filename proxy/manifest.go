package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/berth-cache/berth/pull"
)

// manifest answers for a manifest by tag or digest.
func (h *Handler) manifest(w *response, r *http.Request, q pull.Query) error {
	m, err := h.puller.Manifest(r.Context(), q)
	if err != nil {
		return err
	}
	w.came(m.Origin)
	w.confirmed(m.Origin)
	header := w.Header()
	etag := `"` + string(m.Digest) + `"`
	w.values.set(header, keyDigest, string(m.Digest))
	w.values.set(header, keyETag, etag)
	if m.Outcome == pull.Stale {
		header.Set("Warning", `299 - "served from cache, last confirmed `+strconv.Itoa(int(m.Age.Seconds()))+` s ago: `+m.Detail+`"`)
	}
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if q.Head {
		w.values.set(header, keyContentType, m.MediaType)
		w.values.set(header, keyContentLength, strconv.FormatInt(m.Size, 10))
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return writeBody(w, r, m.MediaType, m.Body)
}

// matches tells whether an If-None-Match header names etag.
func matches(header, etag string) bool {
	if header == "" {
		return false
	}
	for one := range strings.SplitSeq(header, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || one == etag {
			return true
		}
	}
	return false
}

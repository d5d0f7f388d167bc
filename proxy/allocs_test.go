package proxy_test

import (
	"net/http"
	"testing"
)

// A warm request may not cost more memory by accident: what these make is the answer's
// header, its account and a few texts.
func TestWarmRequestsAllocateLittle(t *testing.T) {
	h, manifest, byDigest, blob := warmed(t)
	for _, test := range []struct {
		name, method, path string
		most               float64
	}{
		{"manifest HEAD", "HEAD", manifest, 7},
		{"manifest GET", "GET", manifest, 9},
		{"manifest GET by digest", "GET", byDigest, 7},
		{"small blob GET", "GET", blob, 12},
	} {
		r := request(test.method, test.path)
		w := &sink{header: make(http.Header, 16)}
		got := testing.AllocsPerRun(200, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		})
		if w.status != http.StatusOK || got > test.most {
			t.Errorf("%s: %d, %.0f allocations, want at most %.0f", test.name, w.status, got, test.most)
		}
	}
}

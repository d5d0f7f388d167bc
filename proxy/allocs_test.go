package proxy_test

import (
	"net/http"
	"testing"
)

// A warm request may not cost more memory by accident: what these make is the answer's
// header, its account and a few texts.
func TestWarmRequestsAllocateLittle(t *testing.T) {
	h, manifest, byDigest, blob := warmed(t)
	fourth, _, _, _ := warmed(t, far{name: "one"}, far{name: "two"}, far{name: "three"})
	for _, test := range []struct {
		name, method, path string
		h                  http.Handler
		most               float64
	}{
		{"manifest HEAD", "HEAD", manifest, h, 7},
		{"manifest GET", "GET", manifest, h, 9},
		{"manifest GET by digest", "GET", byDigest, h, 7},
		{"manifest GET of the fourth upstream", "GET", manifest, fourth, 12},
		{"small blob GET", "GET", blob, h, 12},
	} {
		r := request(test.method, test.path)
		w := &sink{header: make(http.Header, 16)}
		got := testing.AllocsPerRun(200, func() {
			clear(w.header)
			test.h.ServeHTTP(w, r)
		})
		if w.status != http.StatusOK || got > test.most {
			t.Errorf("%s: %d, %.0f allocations, want at most %.0f", test.name, w.status, got, test.most)
		}
	}
}

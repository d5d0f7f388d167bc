package proxy_test

import (
	"math"
	"net/http"
	"testing"
)

// A warm request may not cost more memory by accident: what these make is the answer's
// header, its account and a few texts. The least of many requests counts: whatever else
// runs in the process allocates too, and under the race detector a sync.Pool forgets
// some of what it holds.
func TestWarmRequestsAllocateLittle(t *testing.T) {
	h, manifest, byDigest, blob := warmed(t)
	fourth, _, _, _ := warmed(t, far{name: "one"}, far{name: "two"}, far{name: "three"})
	for _, test := range []struct {
		name, method, path string
		h                  http.Handler
		most               float64
	}{
		{"manifest HEAD", "HEAD", manifest, h, 5},
		{"manifest GET", "GET", manifest, h, 7},
		{"manifest GET by digest", "GET", byDigest, h, 5},
		{"manifest GET of the fourth upstream", "GET", manifest, fourth, 10},
		{"small blob GET", "GET", blob, h, 10},
	} {
		r := request(test.method, test.path)
		w := &sink{header: make(http.Header, 16)}
		got := math.Inf(1)
		for range 200 {
			got = min(got, testing.AllocsPerRun(1, func() {
				clear(w.header)
				test.h.ServeHTTP(w, r)
			}))
		}
		if w.status != http.StatusOK || got > test.most {
			t.Errorf("%s: %d, %.0f allocations, want at most %.0f", test.name, w.status, got, test.most)
		}
	}
}

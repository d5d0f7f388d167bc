package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/berth-cache/berth/proxy"
)

// sink is a ResponseWriter that costs nothing itself.
type sink struct {
	header http.Header
	status int
	bytes  int64
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) { s.status = status }

func (s *sink) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return len(p), nil
}

func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, r)
	s.bytes += n
	return n, err
}

func (s *sink) SetWriteDeadline(time.Time) error { return nil }

func (s *sink) Flush() {}

// warmed is a Berth's handler, with an access log, and the paths of an image that it holds.
// The upstreams before are asked first, and have nothing.
func warmed(tb testing.TB, before ...far) (h http.Handler, manifest, byDigest, blob string) {
	r := newRig(tb, plan{upstreams: append(before, far{name: "hub"}), options: func(o *proxy.Options) {
		o.Access = proxy.NewAccessLog(io.Discard, proxy.Text)
	}})
	image := r.hubs["hub"].AddImage("library/app", "1", []byte("a layer of few bytes"))
	manifest, byDigest, blob = manifestPath("library/app", "1"), manifestPath("library/app", image.Digest.String()), blobPath("library/app", image.Layers[0])
	r.pulled(manifest, image.Manifest)
	r.pulled(blob, []byte("a layer of few bytes"))
	r.restart() // the commits are done: nothing is read from a fill
	return r, manifest, byDigest, blob
}

func request(method, path string) *http.Request {
	r := httptest.NewRequest(method, path, http.NoBody)
	r.Header.Set("User-Agent", "docker/28.2.2 go/go1.24.3 git-commit/45873be kernel/6.1.0 os/linux arch/amd64")
	return r
}

// What a warm request costs Berth itself: without network, kernel and net/http.
func BenchmarkWarm(b *testing.B) {
	h, manifest, byDigest, blob := warmed(b)
	fourth, _, _, _ := warmed(b, far{name: "one"}, far{name: "two"}, far{name: "three"})
	for _, bench := range []struct {
		name, method, path string
		h                  http.Handler
	}{
		{"manifest HEAD", "HEAD", manifest, h},
		{"manifest GET", "GET", manifest, h},
		{"manifest GET by digest", "GET", byDigest, h},
		{"manifest GET of the fourth upstream", "GET", manifest, fourth},
		{"small blob GET", "GET", blob, h},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := request(bench.method, bench.path)
			b.ReportAllocs()
			for b.Loop() {
				w := &sink{header: make(http.Header, 16)}
				bench.h.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

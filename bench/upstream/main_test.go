package upstream_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an upstream with one image and one pool, and a client.
type world struct {
	endpoint upstream.Endpoint
	control  *upstream.Control
	image    image.Image
	pool     image.Pool
	client   *http.Client
}

func newWorld(t *testing.T, c upstream.Conditions) *world {
	t.Helper()
	s, err := upstream.Serve(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{control: upstream.NewControl(s.Control()), pool: image.Pool{Repository: "pool", Count: 10, Size: 64}}
	spec := image.Spec{Repository: "bench/app", Layers: []int64{300_000}}
	if w.image, err = image.Make(spec); err != nil {
		t.Fatal(err)
	}
	if w.endpoint, err = w.control.Endpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{w.control.AddImage(t.Context(), spec), w.control.AddPool(t.Context(), w.pool)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.endpoint.Certificate))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	w.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// get asks for path with headers given as key, value, key, value.
func (w *world) get(t *testing.T, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.endpoint.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func (w *world) counters(t *testing.T) upstream.Counters {
	t.Helper()
	n, err := w.control.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

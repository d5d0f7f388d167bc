package load_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound ends what hangs.
const bound = time.Minute

var spec = image.Spec{Repository: "bench/app", Layers: []int64{200_000, 300_000, 0}}

// registry is a running upstream with the image of spec and a pool.
func registry(t *testing.T, c upstream.Conditions) (upstream.Endpoint, *upstream.Control, image.Image) {
	t.Helper()
	s, err := upstream.Serve(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	control := upstream.NewControl(s.Control())
	endpoint, err := control.Endpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := control.AddImage(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	m, err := image.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	return endpoint, control, m
}

// answering is a server that answers everything with handler; it returns host:port.
func answering(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// body answers with content under its own length.
func body(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content) //nolint:errcheck // the client sees what is missing
	}
}

// blob is the target of most tests, with its content.
func blob(size int64) (load.Target, []byte) {
	b := image.Blob{Seed: 1, Size: size}
	return load.BlobTarget("app", image.Part{Digest: b.Digest(), Blob: b}), b.Bytes()
}

func repeat(target load.Target, requests int64) *load.Repeat {
	return &load.Repeat{Method: "GET", Targets: []load.Target{target}, Connections: 2, Duration: bound, Requests: requests}
}

func run(t *testing.T, p load.Plan) load.Result {
	t.Helper()
	if p.Bound == 0 {
		p.Bound = bound
	}
	r, err := load.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestRetries counts tries and says how long they take in all. Each wait is 50 % to 150 %
// of 100 ms, then of 200 ms.
func TestRetries(t *testing.T) {
	after := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	const none = time.Duration(0)
	cases := []struct {
		name     string
		fault    upstreamtest.Fault // with Times: 0 fails all tries
		tries    int
		from, to time.Duration
		ok       bool
	}{
		{"500 once", upstreamtest.Fault{Status: 500, Times: 1}, 2, 50 * time.Millisecond, 150 * time.Millisecond, true},
		{"502 twice", upstreamtest.Fault{Status: 502, Times: 2}, 3, 150 * time.Millisecond, 450 * time.Millisecond, true},
		{"503 for ever", upstreamtest.Fault{Status: 503}, 3, 150 * time.Millisecond, 450 * time.Millisecond, false},
		{"504", upstreamtest.Fault{Status: 504, Times: 1}, 2, 50 * time.Millisecond, 150 * time.Millisecond, true},
		{"408", upstreamtest.Fault{Status: 408, Times: 1}, 2, 50 * time.Millisecond, 150 * time.Millisecond, true},
		{"503 that asks for 2 s", upstreamtest.Fault{Status: 503, Times: 1, Header: after("2")}, 2, 2 * time.Second, 2 * time.Second, true},
		{"503 that asks for 3 s", upstreamtest.Fault{Status: 503, Times: 1, Header: after("3")}, 1, none, none, false},
		{"connection broken once", upstreamtest.Fault{CutAfter: -1, Times: 1}, 2, 50 * time.Millisecond, 150 * time.Millisecond, true},
		{"connection broken for ever", upstreamtest.Fault{CutAfter: -1}, 3, 150 * time.Millisecond, 450 * time.Millisecond, false},
		{"501", upstreamtest.Fault{Status: 501, Times: 1}, 1, none, none, false},
		{"429", upstreamtest.Fault{Status: 429, Times: 1}, 1, none, none, false},
		{"404", upstreamtest.Fault{Status: 404, Times: 1}, 1, none, none, false},
		{"403", upstreamtest.Fault{Status: 403, Times: 1}, 1, none, none, false},
		{"401", upstreamtest.Fault{Status: 401, Times: 1}, 1, none, none, false},
		{"no header", upstreamtest.Fault{StallAfter: -1, Release: make(chan struct{})}, 1, 30 * time.Second, 30 * time.Second, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.fault.Release != nil {
					tc.fault.Release = make(chan struct{}) // one of the bubble's own
				}
				reg := upstreamtest.New(t)
				reg.AddImage("a", "1")
				reg.Fail(nil, tc.fault)
				n := upstreamtest.NewNetwork(t)
				c := newClient(t, n.Serve("http://r.example.com", reg), on(n))
				began := time.Now()
				resp, err := c.Do(t.Context(), manifest("a", "1"))
				if (err == nil) != tc.ok {
					t.Errorf("error %v", err)
				}
				if err == nil {
					resp.Body.Close()
				}
				if took := time.Since(began); took < tc.from || took > tc.to {
					t.Errorf("took %v, want %v to %v", took, tc.from, tc.to)
				}
				if got := len(reg.Requests()); got != tc.tries {
					t.Errorf("%d tries, want %d", got, tc.tries)
				}
			})
		})
	}
}

// TestRetryDeadline: no wait goes past the caller's deadline; the answer so far counts.
func TestRetryDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := upstreamtest.New(t)
		reg.Fail(nil, upstreamtest.Fault{Status: 503, Header: http.Header{"Retry-After": {"2"}}})
		n := upstreamtest.NewNetwork(t)
		c := newClient(t, n.Serve("http://r.example.com", reg), on(n))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.Do(ctx, manifest("a", "1"))
		if e, ok := errors.AsType[*upstream.Error](err); !ok || e.Status != 503 || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestCallerLeaves(t *testing.T) {
	cause := errors.New("the client went")
	cases := []struct {
		name  string
		fault upstreamtest.Fault
	}{
		{"before the header", upstreamtest.Fault{StallAfter: -1}},
		{"between tries", upstreamtest.Fault{Status: 503, Header: http.Header{"Retry-After": {"2"}}}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.fault.StallAfter < 0 {
					tc.fault.Release = make(chan struct{})
				}
				reg := upstreamtest.New(t)
				reg.Fail(nil, tc.fault)
				n := upstreamtest.NewNetwork(t)
				c := newClient(t, n.Serve("http://r.example.com", reg), on(n))
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(cause) })
				began := time.Now()
				_, err := c.Do(ctx, manifest("a", "1"))
				e, ok := errors.AsType[*upstream.Error](err)
				if !ok || e.Class != upstream.Unavailable || !errors.Is(err, cause) || time.Since(began) != time.Second ||
					e.Message != "r.example.com: request was cancelled" {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				if got := len(reg.Requests()); got != 1 {
					t.Errorf("%d requests", got)
				}
			})
		})
	}
}

// TestTLSAndHTTP2: a private authority is believed when configured, and HTTP/2 is spoken.
func TestTLSAndHTTP2(t *testing.T) {
	reg := upstreamtest.New(t)
	img := reg.AddImage("a", "1", []byte("layer"))
	reg.RequireToken(user, password)
	base, pool := reg.StartTLS(t)
	c := newClient(t, base, withLogin, func(cfg *upstream.Config) { cfg.RootCAs = pool })
	if _, body := fetch(t, c, manifest("a", "1")); body != string(img.Manifest) {
		t.Errorf("manifest %q", body)
	}
	protos := map[string]bool{}
	for _, rec := range reg.Records() {
		protos[rec.Proto] = true
	}
	if diff := cmp.Diff(map[string]bool{"HTTP/2.0": true}, protos); diff != "" {
		t.Error(diff)
	}
}

// TestConnectionsAreReused: answers without content leave their connection usable.
func TestConnectionsAreReused(t *testing.T) {
	n := upstreamtest.NewNetwork(t)
	reg := upstreamtest.New(t)
	d := reg.AddBlob("a", []byte("layer"))
	reg.RequireToken(user, password)
	n.Serve("http://cdn.test", reg.Storage())
	reg.RedirectBlobs("http://cdn.test")
	c := newClient(t, n.Serve("http://r.example.com", reg), on(n), withLogin)
	for range 3 {
		fetch(t, c, blob("a", string(d), 0))
		refused(t, c, manifest("a", "none"))
	}
	if got := len(n.Dialled()); got != 2 {
		t.Errorf("dialled %q", n.Dialled())
	}
}

// TestDialTries says which failures to connect are tried again.
func TestDialTries(t *testing.T) {
	cases := []struct {
		name string
		err  error
		want int
	}{
		{"refused", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 3},
		{"timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, 1},
		{"unknown name", &net.DNSError{IsNotFound: true}, 1},
		{"name server ill", &net.DNSError{IsTemporary: true}, 3},
		{"other", errors.New("x"), 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := newClient(t, "http://5.6.7.8", func(cfg *upstream.Config) {
					cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
						tries++
						return nil, tc.err
					}
				})
				if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Unavailable || tries != tc.want {
					t.Errorf("%d tries: %v", tries, e)
				}
			})
		})
	}
}

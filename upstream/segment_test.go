package upstream_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// stretch is a request for so many bytes of a blob.
func stretch(repo, reference string, offset, length int64) upstream.Request {
	r := blob(repo, reference, offset)
	r.Length = length
	return r
}

// counted counts the connections that a Client makes.
func counted(n *atomic.Int64) func(*upstream.Config) {
	return func(cfg *upstream.Config) {
		cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			n.Add(1)
			return dialLoopback(ctx, network, addr)
		}
	}
}

// TestSegmentsHaveConnections: what HTTP/2 would send over one connection has one each,
// with the same trust and the same login, and those are used again.
func TestSegmentsHaveConnections(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.RequireBasic(user, password)
	d := string(reg.AddBlob("a", []byte("0123456789")))
	base, roots := reg.StartTLS(t)
	var dials atomic.Int64
	c := newClient(t, base, withLogin, counted(&dials), func(cfg *upstream.Config) { cfg.RootCAs = roots })
	if _, body := fetch(t, c, blob("a", d, 0)); body != "0123456789" || dials.Load() != 1 {
		t.Fatalf("body %q over %d connections", body, dials.Load())
	}
	reg.Reset()
	release := make(chan struct{})
	reg.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 1})
	var open []*upstream.Response
	for i := range int64(3) {
		resp, err := c.Do(t.Context(), stretch("a", d, 2*i, 2))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	close(release)
	for i, want := range []string{"01", "23", "45"} {
		if got := read(t, open[i]); got != want || open[i].Offset != int64(2*i) || open[i].Size != 10 {
			t.Errorf("segment %d is %q, from %d of %d", i, got, open[i].Offset, open[i].Size)
		}
	}
	if n := dials.Load(); n != 4 {
		t.Errorf("%d connections, want 4", n)
	}
	for _, r := range reg.Records() {
		if r.Proto != "HTTP/1.1" {
			t.Errorf("%s came over %s", r.Text, r.Proto)
		}
	}
	if _, body := fetch(t, c, stretch("a", d, 6, 2)); body != "67" || dials.Load() != 4 {
		t.Errorf("body %q after %d connections", body, dials.Load())
	}
}

// TestSegmentsAreNotRepeated: what another request would be sent again for.
func TestSegmentsAreNotRepeated(t *testing.T) {
	for _, fault := range []upstreamtest.Fault{{Status: 500}, {Status: 503}, {CutAfter: -1}} {
		reg := upstreamtest.New(t)
		d := string(reg.AddBlob("a", []byte("0123456789")))
		reg.Fail(upstreamtest.On("GET blob"), fault)
		c := newClient(t, reg.Start(t))
		if e := refused(t, c, stretch("a", d, 2, 3)); e.Class != upstream.Unavailable || e.Status != fault.Status {
			t.Errorf("%+v: %v", fault, e)
		}
		if n := len(reg.Requests()); n != 1 {
			t.Errorf("%+v: %d requests", fault, n)
		}
	}
}

// TestSegmentsAreRedirected: by the rules for everything else.
func TestSegmentsAreRedirected(t *testing.T) {
	const path = "/v2/a/blobs/sha256:x"
	h := &hops{}
	n := upstreamtest.NewNetwork(t)
	n.Serve("https://cdn.test", h)
	c := newClient(t, n.Serve("https://r.example.com", h), on(n), withLogin)
	fetch(t, c, manifest("a", "1")) // learns the login
	h.to, h.seen = map[string]string{"r.example.com" + path: "https://cdn.test/x?sig=1"}, nil
	if _, body := fetch(t, c, stretch("a", "sha256:x", 1, 5)); body != "ok" {
		t.Errorf("body %q", body)
	}
	want := []string{"GET r.example.com" + path + basic + " bytes=1-5", "GET cdn.test/x bytes=1-5"}
	if diff := cmp.Diff(want, h.seen); diff != "" {
		t.Error(diff)
	}
	h.to = map[string]string{"r.example.com" + path: "https://127.0.0.1/x?secret"}
	if e := refused(t, c, stretch("a", "sha256:x", 1, 5)); !strings.Contains(e.Message, "a private address") {
		t.Errorf("%v", e)
	}
}

func TestNoRanges(t *testing.T) {
	for value, want := range map[string]bool{"": false, "bytes": false, "none": true, " None ": true} {
		reg := upstreamtest.New(t)
		d := string(reg.AddBlob("a", []byte("0123456789")))
		reg.Fail(nil, upstreamtest.Fault{Header: http.Header{"Accept-Ranges": {value}}})
		if resp, _ := fetch(t, newClient(t, reg.Start(t)), blob("a", d, 0)); resp.NoRanges != want {
			t.Errorf("%q: %t", value, resp.NoRanges)
		}
	}
}

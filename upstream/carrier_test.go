package upstream_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// protos are those of the requests since they were last asked for.
func protos(reg *upstreamtest.Registry) []string {
	var got []string
	for _, r := range reg.Records() {
		got = append(got, r.Proto)
	}
	reg.Reset()
	return got
}

// Blobs that arrive at the same time have a connection each, where HTTP/2 would have them
// share one; a single blob has no handshake to wait for.
func TestBlobsDoNotShareAConnection(t *testing.T) {
	const shared, own = "HTTP/2.0", "HTTP/1.1"
	reg := upstreamtest.New(t)
	layer := string(reg.AddBlob("a", []byte("0123456789")))
	image := reg.AddImage("a", "1")
	base, roots := reg.StartTLS(t)
	c := newClient(t, base, func(cfg *upstream.Config) { cfg.RootCAs = roots })
	want := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, protos(reg)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	fetch(t, c, manifest("a", "1"))
	fetch(t, c, blob("a", layer, 0))
	want("a manifest and a blob", shared, shared)

	release := make(chan struct{})
	reg.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 3, Release: release, StallAfter: 1})
	var open []*upstream.Response
	for range 3 {
		resp, err := c.Do(t.Context(), blob("a", layer, 0))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	if _, body := fetch(t, c, manifest("a", "1")); body != string(image.Manifest) {
		t.Errorf("manifest %q", body)
	}
	want("three blobs at once, and a manifest", shared, own, own, shared)
	close(release)
	for _, resp := range open {
		if got := read(t, resp); got != "0123456789" {
			t.Errorf("body %q", got)
		}
	}
	fetch(t, c, blob("a", layer, 0))
	want("one again", shared)

	reg.AddBlob("b", []byte("0123456789"))
	reg.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, Redirect: base + "/v2/b/blobs/" + layer})
	fetch(t, c, blob("a", layer, 0))
	fetch(t, c, blob("a", layer, 0))
	want("one that is stored elsewhere, and one after it", shared, own, shared)

	// What fails gives its place back, too.
	reg.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, Status: 404})
	if _, err := c.Do(t.Context(), blob("a", layer, 0)); err == nil {
		t.Error("there is a blob that is not")
	}
	fetch(t, c, blob("a", layer, 0))
	want("one that is not there, and one after it", shared, shared)
}

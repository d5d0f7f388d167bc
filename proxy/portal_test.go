package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// The length of a web page that a portal sent for a blob is no answer to a later HEAD.
func TestPortalsLengthIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		layer := []byte("a layer")
		d := hub.AddBlob("app", layer)
		release := make(chan struct{})
		page := with("text/html", strings.Repeat(webPage, 3000)) // more than the buffers on the way hold
		page.Digest, page.Times, page.Release, page.StallAfter = "-", 1, release, 100_000
		page.Length = int64(len(page.Body))
		hub.Fail(upstreamtest.On("GET blob"), page)
		response, err := r.client.Get(berthURL + blobPath("app", d))
		check(t, err)
		close(release)
		if body, err := io.ReadAll(response.Body); err == nil {
			t.Fatalf("the portal's page passed for the blob: %q", body)
		}
		response.Body.Close()
		hub.Reset()
		if a := r.do("HEAD", blobPath("app", d)); a.StatusCode != http.StatusOK || a.ContentLength != int64(len(layer)) {
			t.Errorf("HEAD: %s, %d bytes, want %d", a.Status, a.ContentLength, len(layer))
		}
		r.asked("hub", "HEAD blob app@"+short(d))
	})
}

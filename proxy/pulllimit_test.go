package proxy_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// Docker Hub counts GETs of manifests. Who has none left goes on with what does not count:
// the HEAD that confirms a tag, the layers of an image.
func TestPullLimitIsOnPullsAlone(t *testing.T) {
	timeless(t, "pull limit", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) { u.Validity = time.Minute }}}})
		hub := r.hubs["hub"]
		image := hub.AddImage("app", "1", []byte("layer"))
		hub.AddImage("new", "1")
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.asked("hub", "GET manifest app:1")

		hub.Fail(upstreamtest.On("GET manifest"), upstreamtest.Fault{
			Status: 429, Header: http.Header{"Retry-After": {"3600"}},
			Body: []byte("You have reached your pull rate limit. You may increase the limit by authenticating and upgrading"),
		})
		r.tells(r.get(manifestPath("new", "1")), failed(429, "TOOMANYREQUESTS", "limited", "3600"))
		r.asked("hub", "GET manifest new:1")
		time.Sleep(30 * time.Minute)
		r.tells(r.get(manifestPath("new", "1")), failed(429, "TOOMANYREQUESTS", "limited", "1800"))
		r.asked("hub")
		if a := r.pulled(manifestPath("app", "1"), image.Manifest); a.Header.Get("Cache-Status") != "berth; hit; fwd=stale; detail=confirmed" {
			t.Errorf("a confirmed tag: %v", a.Header)
		}
		r.asked("hub", "HEAD manifest app:1")
		if a := r.do("HEAD", manifestPath("new", "1")); a.StatusCode != 200 {
			t.Errorf("HEAD: %d", a.StatusCode)
		}
		r.asked("hub", "HEAD manifest new:1")
		r.pulled(blobPath("app", image.Layers[0]), []byte("layer"))
		r.asked("hub", "GET blob app@"+short(image.Layers[0]))

		// Moved, it cannot be had: the old image is better than none.
		time.Sleep(5 * time.Minute)
		moved := hub.AddImage("app", "1", []byte("another layer"))
		if a := r.pulled(manifestPath("app", "1"), image.Manifest); a.Header.Get("Cache-Status") != "berth; hit; fwd=stale; detail=upstream-limited" {
			t.Errorf("a tag that moved: %s", a.Header.Get("Cache-Status"))
		}
		r.asked("hub", "HEAD manifest app:1")

		hub.Mend()
		time.Sleep(time.Hour)
		r.pulled(manifestPath("app", "1"), moved.Manifest)
	})
}

package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestOutage: what is held is served within four seconds at the worst, and at once as soon as
// the upstream is known to be ill; what is not is refused as quickly. Then all is as before.
func TestOutage(t *testing.T) {
	silent := func() upstreamtest.Fault {
		return upstreamtest.Fault{Release: make(chan struct{}), StallAfter: -1}
	}
	for name, outage := range map[string]struct {
		fault func() upstreamtest.Fault
		// reason is what the client of a cold pull is told in the end.
		reason string
	}{
		"cut":      {func() upstreamtest.Fault { return upstreamtest.Fault{CutAfter: -1} }, "connection broke before an answer"},
		"silent":   {silent, "no answer in time"},
		"500":      {func() upstreamtest.Fault { return upstreamtest.Fault{Status: 500} }, "answered 500"},
		"503":      {func() upstreamtest.Fault { return upstreamtest.Fault{Status: 503} }, "answered 503"},
		"redirect": {func() upstreamtest.Fault { return upstreamtest.Fault{Redirect: "http://elsewhere.test/v2/"} }, "name elsewhere.test does not exist"},
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) { u.Validity = time.Minute }}}})
			hub := r.hubs["hub"]
			layer := []byte("layer")
			images := make([]upstreamtest.Image, 12)
			for i := range images {
				images[i] = hub.AddImage("app", fmt.Sprint(i), layer)
				r.pulled(manifestPath("app", fmt.Sprint(i)), images[i].Manifest)
			}
			r.pulled(blobPath("app", images[0].Layers[0]), layer)
			hub.AddImage("cold", "1")
			time.Sleep(time.Hour)
			hub.Fail(nil, outage.fault())

			var took time.Duration
			for i := range images {
				began := time.Now()
				a := r.pulled(manifestPath("app", fmt.Sprint(i)), images[i].Manifest)
				took = time.Since(began)
				if status := a.Header.Get("Cache-Status"); took > 4*time.Second || !strings.HasPrefix(status, "berth; hit; fwd=stale; detail=un") && status != "berth; hit; fwd=stale; detail=upstream-unavailable" {
					t.Errorf("held, the %dth: %s after %s", i, status, took)
				}
				r.pulled(blobPath("app", images[0].Layers[0]), layer)
			}
			if took >= 50*time.Millisecond {
				t.Errorf("held, when the outage is known: after %s", took)
			}
			if outage.fault().Release != nil {
				time.Sleep(time.Minute) // until somebody has waited in vain
			}
			hub.Reset()
			began := time.Now()
			for range 10 {
				a := r.get(manifestPath("cold", "1"))
				if a.StatusCode != 503 || !strings.Contains(string(a.body), outage.reason) {
					t.Errorf("cold: %d %s", a.StatusCode, a.body)
				}
			}
			if took, asked := time.Since(began), len(hub.Requests()); took > time.Minute || asked > 2 && name != "redirect" {
				t.Errorf("cold: %d requests, after %s", asked, took)
			}

			hub.Mend()
			time.Sleep(time.Minute)
			for range 2 {
				r.pulled(manifestPath("app", "0"), images[0].Manifest)
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
			if a := r.pulled(manifestPath("app", "0"), images[0].Manifest); a.Header.Get("Cache-Status") != "berth; hit; fwd=stale; detail=confirmed" {
				t.Errorf("mended: %s", a.Header.Get("Cache-Status"))
			}
			if a := r.get(manifestPath("cold", "1")); a.StatusCode != 200 {
				t.Errorf("cold, mended: %d", a.StatusCode)
			}
		})
	}
}

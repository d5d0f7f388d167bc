package proxy_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestOutageInMidBlob: a blob goes on where it stopped as soon as that is possible; where it
// is not, its client is cut off, nothing is kept, and nobody else notices.
func TestOutageInMidBlob(t *testing.T) {
	const size, half = 200_000, 120_000
	stall := func(times int) upstreamtest.Fault {
		return upstreamtest.Fault{Times: times, Release: make(chan struct{}), StallAfter: half}
	}
	cut := upstreamtest.Fault{Times: 1, CutAfter: half}
	refuse := func(r *rig) { r.network.Befall("hub.test", upstreamtest.Refusing) }
	for name, test := range map[string]struct {
		fault func() upstreamtest.Fault
		also  func(*rig) // once half of it is there
		whole bool
		// asks are the beginnings of what is asked for.
		asks []string
		// took is how long the client waited, less than a second more for repetitions.
		took time.Duration
	}{
		"stalls once":        {func() upstreamtest.Fault { return stall(1) }, nil, true, []string{"", " bytes=120000-"}, 30 * time.Second},
		"stalls each time":   {func() upstreamtest.Fault { return stall(0) }, nil, true, []string{"", " bytes=120000-"}, 30 * time.Second},
		"cut":                {func() upstreamtest.Fault { return cut }, nil, true, []string{"", " bytes=120000-"}, 0},
		"cut, then refused":  {func() upstreamtest.Fault { return cut }, refuse, false, []string{""}, 0},
		"stalls and refuses": {func() upstreamtest.Fault { return stall(1) }, refuse, false, []string{""}, 30 * time.Second},
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			hub := r.hubs["hub"]
			held, layer := noise(1, size), noise(2, size)
			heldPath, path := blobPath("app", hub.AddBlob("app", held)), blobPath("app", hub.AddBlob("app", layer))
			r.pulled(heldPath, held)
			hub.Reset()
			hub.Fail(upstreamtest.On("GET blob"), test.fault())
			began := time.Now()
			if test.also != nil {
				r.leaves(path, half) // a client that goes does not end the fill
				test.also(r)
			}
			body, err := r.bodyOf(path)
			if (err == nil) != test.whole || err == nil && !bytes.Equal(body, layer) || err != nil && !bytes.HasPrefix(layer, body) {
				t.Errorf("%d bytes, %v; want all: %t", len(body), err, test.whole)
			}
			if took := time.Since(began); took < test.took || took > test.took+time.Second {
				t.Errorf("after %s, want %s", took, test.took)
			}
			var asks []string
			for _, line := range hub.Requests() {
				asks = append(asks, line[min(len(line), len("GET blob app@sha256:123456789012")):])
			}
			if !slices.Equal(asks, test.asks) {
				t.Errorf("asked %q, want %q", asks, test.asks)
			}
			r.pulled(heldPath, held)
			hub.Mend()
			r.network.Befall("hub.test", upstreamtest.Well)
			time.Sleep(time.Minute)
			r.pulled(path, layer)
		})
	}
}

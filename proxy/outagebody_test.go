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
	const size, half, rest = 200_000, 120_000, " bytes=120000-"
	stall := func(times int) upstreamtest.Fault {
		return upstreamtest.Fault{Times: times, Release: make(chan struct{}), StallAfter: half}
	}
	cut := upstreamtest.Fault{Times: 1, CutAfter: half}
	refuse := func(d time.Duration) func(*rig) {
		return func(r *rig) {
			r.network.Befall("hub.test", upstreamtest.Refusing)
			time.AfterFunc(d, func() { r.network.Befall("hub.test", upstreamtest.Well) })
		}
	}
	// ill is an outage of d: what a registry's restart looks like from behind its balancer.
	ill := func(d time.Duration, f upstreamtest.Fault) func(*rig) {
		return func(r *rig) {
			r.hubs["hub"].Fail(nil, f)
			time.AfterFunc(d, r.hubs["hub"].Mend)
		}
	}
	for name, test := range map[string]struct {
		fault func() upstreamtest.Fault
		also  func(*rig) // once half of it is there
		whole bool
		// asks are the beginnings of what is asked for, repetitions left out.
		asks []string
		// least and most are how long the client waited.
		least, most time.Duration
	}{
		"stalls once":                 {func() upstreamtest.Fault { return stall(1) }, nil, true, []string{"", rest}, 30 * time.Second, 31 * time.Second},
		"stalls each time":            {func() upstreamtest.Fault { return stall(0) }, nil, true, []string{"", rest}, 30 * time.Second, 31 * time.Second},
		"cut":                         {func() upstreamtest.Fault { return cut }, nil, true, []string{"", rest}, 0, time.Second},
		"cut, then 503":               {func() upstreamtest.Fault { return cut }, ill(5*time.Second, upstreamtest.Fault{Status: 503}), true, []string{"", rest}, 5 * time.Second, 8 * time.Second},
		"cut, then 429":               {func() upstreamtest.Fault { return cut }, ill(time.Second, waitFor(refusal(429, ""), "5")), true, []string{"", rest}, 5 * time.Second, 8 * time.Second},
		"cut, then 429 for long":      {func() upstreamtest.Fault { return cut }, ill(time.Second, waitFor(refusal(429, ""), "45")), false, []string{"", rest}, 0, time.Second},
		"cut, then refused for a bit": {func() upstreamtest.Fault { return cut }, refuse(10 * time.Second), true, []string{"", rest}, 10 * time.Second, 20 * time.Second},
		"cut, then refused":           {func() upstreamtest.Fault { return cut }, refuse(time.Minute), false, []string{""}, 30 * time.Second, 33 * time.Second},
		"stalls and refuses":          {func() upstreamtest.Fault { return stall(1) }, refuse(2 * time.Minute), false, []string{""}, time.Minute, 63 * time.Second},
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
			if took := time.Since(began); took < test.least || took > test.most {
				t.Errorf("after %s, want %s to %s", took, test.least, test.most)
			}
			var asks []string
			for _, line := range hub.Requests() {
				asks = append(asks, line[min(len(line), len("GET blob app@sha256:123456789012")):])
			}
			if asks = slices.Compact(asks); !slices.Equal(asks, test.asks) {
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

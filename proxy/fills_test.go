package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// noise is n bytes that are always the same for a seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b); err != nil {
		panic(err) // it never fails
	}
	return b
}

var errStatus = errors.New("not a complete 200")

// bodyOf is what a whole answer to GET of path holds. Unlike pulled it may be called in
// any goroutine, and tells an answer that broke.
func (r *rig) bodyOf(path string) ([]byte, error) {
	response, err := r.open(path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: %s %s", errStatus, response.Status, first(body))
	}
	return body, err
}

// wantBody is pulled for any goroutine.
func (r *rig) wantBody(path string, want []byte) {
	r.tb.Helper()
	if body, err := r.bodyOf(path); err != nil || string(body) != string(want) {
		r.tb.Errorf("GET %s: %d bytes, %v; want %d bytes", path, len(body), err, len(want))
	}
}

// open begins a GET, whose body the caller reads and closes.
func (r *rig) open(path string, header ...string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, berthURL+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	return r.client.Do(q)
}

// leaves is a client that goes away after n bytes of a blob.
func (r *rig) leaves(path string, n int) {
	r.tb.Helper()
	response, err := r.open(path)
	check(r.tb, err)
	_, err = io.ReadFull(response.Body, make([]byte, n))
	check(r.tb, err)
	synctest.Wait() // what the upstream sends has come
	check(r.tb, response.Body.Close())
	synctest.Wait()
}

// wantNothingKept looks into the store's folders.
func (r *rig) wantNothingKept() {
	r.tb.Helper()
	if n := r.values()["berth_content_objects"]; n != 0 {
		r.tb.Errorf("%v objects were kept", n)
	}
	staged, err := os.ReadDir(filepath.Join(r.dir, "content", "staging"))
	check(r.tb, err)
	if len(staged) > 0 {
		r.tb.Errorf("%d files are left in staging", len(staged))
	}
}

func TestClientGoneAtHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		layer := noise(1, 200_000)
		d := hub.AddBlob("app", layer)
		release := make(chan struct{})
		hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 150_000})
		r.leaves(blobPath("app", d), 100_000)
		close(release)
		synctest.Wait()
		r.asked("hub", "GET blob app@"+short(d))
		hub.Stop()
		if a := r.pulled(blobPath("app", d), layer); a.Header.Get("Cache-Status") != "berth; hit" {
			t.Errorf("Cache-Status %q of what the fill brought in alone", a.Header.Get("Cache-Status"))
		}
	})
}

func TestTenAbandonedFills(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration
		from  string // what the paused ones are asked for, after that time
	}{
		"are resumed":              {9 * time.Minute, " bytes=50000-"},
		"are forgotten in the end": {11 * time.Minute, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				hub := r.hubs["hub"]
				release := make(chan struct{})
				hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 50_000})
				layers := make([][]byte, 10)
				digests := make([]digest.Digest, 10)
				for i := range layers {
					layers[i] = noise(uint64(i), 100_000)
					digests[i] = hub.AddBlob("app", layers[i])
					r.leaves(blobPath("app", digests[i]), 20_000)
				}
				if n := r.values()["berth_fills_running"]; n != 8 {
					t.Errorf("%v fills run without a client, want 8", n)
				}
				close(release)
				synctest.Wait()
				hub.Reset()
				for i, d := range digests[:8] {
					r.pulled(blobPath("app", d), layers[i])
				}
				r.asked("hub")
				hub.Mend()
				time.Sleep(test.pause)
				for i, d := range digests[8:] {
					r.pulled(blobPath("app", d), layers[8+i])
				}
				r.asked("hub", "GET blob app@"+short(digests[8])+test.from, "GET blob app@"+short(digests[9])+test.from)
			})
		})
	}
}

func TestCutFillGoesOnWhereItStopped(t *testing.T) {
	const size = 300_000
	layer := noise(1, size)
	d := digest.FromBytes(layer)
	for name, prepare := range map[string]func(*rig){
		"plain":          func(*rig) {},
		"ignores ranges": func(r *rig) { r.hubs["hub"].IgnoreRanges(true) },
		"storage behind a redirect": func(r *rig) {
			r.network.Serve("http://storage.test", r.hubs["hub"].Storage())
			r.hubs["hub"].RedirectBlobs("http://storage.test")
		},
		"size unknown": func(r *rig) {
			r.hubs["hub"].Fail(upstreamtest.On("GET blob app@"+short(d)+" "), upstreamtest.Fault{Status: 200, Body: layer})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				hub := r.hubs["hub"]
				hub.AddBlob("app", layer)
				cuts := []int64{rand.Int64N(size-3) + 1, rand.Int64N(size-3) + 2, rand.Int64N(size-3) + 3}
				slices.Sort(cuts)
				if cuts = slices.Compact(cuts); name == "size unknown" {
					cuts = cuts[:1] // what comes then has been set up to come whole
				}
				matches, prefix := "GET blob", "GET blob app@"+short(d)
				if name == "storage behind a redirect" {
					matches, prefix = "GET storage", "GET storage "+short(d)
				}
				var from int64
				want := []string{prefix}
				for _, at := range cuts {
					fault := upstreamtest.Fault{Times: 1, CutAfter: at - from}
					if name == "ignores ranges" {
						fault.CutAfter = at // from the beginning each time
					}
					if name == "size unknown" {
						fault.Status, fault.Body = 200, layer
					}
					hub.Fail(upstreamtest.On(matches), fault)
					want = append(want, prefix+" bytes="+strconv.FormatInt(at, 10)+"-")
					from = at
				}
				prepare(r)
				r.pulled(blobPath("app", d), layer)
				got := hub.Requests()
				got = slices.DeleteFunc(got, func(line string) bool { return !strings.HasPrefix(line, matches) })
				if !slices.Equal(got, want) {
					t.Errorf("cut at %v, asked %q, want %q", cuts, got, want)
				}
				hub.Stop()
				r.pulled(blobPath("app", d), layer)
			})
		})
	}
}

func TestBrokenForGoodGoesOnElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "empty"}, {name: "other"}}})
		layer := noise(1, 200_000)
		d := r.hubs["hub"].AddBlob("app", layer)
		r.hubs["other"].AddBlob("app", layer)
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, CutAfter: 120_000})
		r.hubs["hub"].Fail(nil, upstreamtest.Fault{Status: http.StatusForbidden, Header: http.Header{"Content-Type": {"text/html"}}})
		r.pulled(blobPath("app", d), layer)
		const from = " bytes=120000-"
		r.asked("hub", "GET blob app@"+short(d), "GET blob app@"+short(d)+from)
		r.asked("empty", "GET blob app@"+short(d)+from)
		r.asked("other", "GET blob app@"+short(d)+from)
	})
}

func TestWrongBytesAreNeverACompleteAnswer(t *testing.T) {
	const size = 50_000
	layer := noise(1, size)
	d := digest.FromBytes(layer)
	announced := func(body []byte) upstreamtest.Fault {
		return upstreamtest.Fault{Status: 200, Body: body, Header: http.Header{"Content-Length": {strconv.Itoa(len(body))}}}
	}
	for name, test := range map[string]struct {
		faults []upstreamtest.Fault
		asks   int
	}{
		"first byte wrong":                {[]upstreamtest.Fault{{Corrupt: true}}, 1},
		"last byte wrong":                 {[]upstreamtest.Fault{announced(append(layer[:size-1:size-1], layer[size-1]^1))}, 1},
		"one byte too short":              {[]upstreamtest.Fault{announced(layer[:size-1])}, 1},
		"one byte too long":               {[]upstreamtest.Fault{announced(append(layer[:size:size], 0))}, 1},
		"empty":                           {[]upstreamtest.Fault{announced([]byte{})}, 1},
		"size unknown, too short":         {[]upstreamtest.Fault{{Status: 200, Body: layer[:size-1]}}, 1},
		"size unknown, too long":          {[]upstreamtest.Fault{{Status: 200, Body: append(layer[:size:size], 0)}}, 1},
		"size unknown, wrong":             {[]upstreamtest.Fault{{Status: 200, Body: noise(2, size)}}, 1},
		"size unknown, empty":             {[]upstreamtest.Fault{{Status: 200, Header: http.Header{"Transfer-Encoding": {"chunked"}}}}, 1},
		"always cut at the same place":    {[]upstreamtest.Fault{{CutAfter: size / 2, Status: 200, Body: layer}}, 4},
		"another length after a break":    {[]upstreamtest.Fault{{CutAfter: size / 2, Times: 1}, announced(layer[:size-1])}, 2},
		"a range of other content":        {[]upstreamtest.Fault{{CutAfter: size / 2, Times: 1}, {Corrupt: true}}, 2},
		"announces more than it delivers": {[]upstreamtest.Fault{{Length: size + 1, Status: 200, Body: layer}}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				hub := r.hubs["hub"]
				hub.AddBlob("app", layer)
				for _, f := range test.faults {
					hub.Fail(upstreamtest.On("GET blob"), f)
				}
				if body, err := r.bodyOf(blobPath("app", d)); err == nil {
					t.Errorf("%d bytes came as complete", len(body))
				}
				synctest.Wait()
				if n := hub.Count("GET blob"); n != test.asks {
					t.Errorf("asked %d times, want %d", n, test.asks)
				}
				r.wantNothingKept()
				hub.Mend()
				hub.Reset()
				r.pulled(blobPath("app", d), layer)
				r.asked("hub", "GET blob app@"+short(d))
			})
		})
	}
}

func TestOddBlobs(t *testing.T) {
	for name, test := range map[string]struct {
		algorithm digest.Algorithm
		size      int
		chunked   bool
	}{
		"no byte":                {digest.SHA256, 0, false},
		"one byte":               {digest.SHA256, 1, false},
		"sha512":                 {digest.SHA512, 100_000, false},
		"size unknown":           {digest.SHA256, 100_000, true},
		"sha512, size unknown":   {digest.SHA512, 100_000, true},
		"one byte, size unknown": {digest.SHA256, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				hub := r.hubs["hub"]
				blob := noise(1, test.size)
				d := test.algorithm.FromBytes(blob)
				header := http.Header{"Content-Length": {strconv.Itoa(test.size)}}
				if test.chunked {
					header = http.Header{"Transfer-Encoding": {"chunked"}}
				}
				hub.Fail(upstreamtest.On("GET blob app@"+short(d)), upstreamtest.Fault{Status: 200, Body: blob, Header: header})
				r.pulled(blobPath("app", d), blob)
				synctest.Wait()
				r.asked("hub", "GET blob app@"+short(d))
				hub.Stop()
				r.restart()
				for range 2 {
					warm := r.pulled(blobPath("app", d), blob)
					if warm.ContentLength != int64(test.size) || warm.Header.Get("Cache-Status") != "berth; hit" {
						t.Errorf("warm length %d, Cache-Status %q", warm.ContentLength, warm.Header.Get("Cache-Status"))
					}
				}
				if a := r.do("HEAD", blobPath("app", d)); a.ContentLength != int64(test.size) {
					t.Errorf("HEAD: length %d, want %d", a.ContentLength, test.size)
				}
			})
		})
	}
}

func TestUnknownSizeGoesOutInChunksAsItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		layer := noise(1, 100_000)
		d := digest.FromBytes(layer)
		release := make(chan struct{})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Status: 200, Body: layer, Release: release, StallAfter: 60_000})
		response, err := r.open(blobPath("app", d))
		check(t, err)
		defer response.Body.Close()
		if response.ContentLength != -1 {
			t.Errorf("length %d before anybody knows it", response.ContentLength)
		}
		// What the server gathers into one write may yet be missing.
		half := make([]byte, 60_000-8192)
		if _, err := io.ReadFull(response.Body, half); err != nil {
			t.Errorf("while the rest is held back: %v", err)
		}
		close(release)
		rest, err := io.ReadAll(response.Body)
		if err != nil || string(half)+string(rest) != string(layer) {
			t.Errorf("%d and %d bytes, %v", len(half), len(rest), err)
		}
	})
}

func TestSlowFollowerStallsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		layer := noise(1, 1_000_000)
		d := hub.AddBlob("app", layer)
		release := make(chan struct{})
		hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 500_000})
		// A pipe holds no byte: who does not read holds up whoever writes.
		slow, err := r.open(blobPath("app", d))
		check(t, err)
		defer slow.Body.Close()
		letGo(release, func() { crowd(5, func(int) { r.wantBody(blobPath("app", d), layer) }) })
		if n := r.values()["berth_content_objects"]; n != 1 {
			t.Error("the fill did not end before the slow one had read a byte")
		}
		body, err := io.ReadAll(slow.Body)
		if err != nil || string(body) != string(layer) {
			t.Errorf("the slow one: %d bytes, %v", len(body), err)
		}
		r.asked("hub", "GET blob app@"+short(d))
	})
}

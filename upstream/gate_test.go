package upstream_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestRate: so many in a time, however many come; after a rest a second's worth at once.
func TestRate(t *testing.T) {
	for name, test := range map[string]struct {
		rate upstream.Rate
		want []time.Duration // when the first of them pass
	}{
		"1/s":   {upstream.Rate{Requests: 1, Per: time.Second}, []time.Duration{0, 1000, 2000, 3000, 4000}},
		"3/s":   {upstream.Rate{Requests: 3, Per: time.Second}, []time.Duration{0, 0, 0, 333, 666, 999, 1333}},
		"30/m":  {upstream.Rate{Requests: 30, Per: time.Minute}, []time.Duration{0, 2000, 4000, 6000}},
		"none":  {upstream.Rate{}, []time.Duration{0, 0, 0, 0, 0, 0}},
		"600/m": {upstream.Rate{Requests: 600, Per: time.Minute}, []time.Duration{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPatient(t, func(cfg *upstream.Config) { cfg.Rate = test.rate })
				for range 2 {
					began := time.Now()
					var mu sync.Mutex
					var passed []time.Duration
					var all sync.WaitGroup
					for range test.want {
						all.Go(func() {
							resp, err := p.client.Do(t.Context(), manifest("a", "1"))
							if err != nil {
								t.Error(err)
								return
							}
							resp.Body.Close()
							mu.Lock()
							defer mu.Unlock()
							passed = append(passed, time.Since(began).Truncate(time.Millisecond)/time.Millisecond)
						})
					}
					all.Wait()
					slices.Sort(passed)
					if diff := cmp.Diff(test.want, passed); diff != "" {
						t.Errorf("passed after milliseconds (-want +got):\n%s", diff)
					}
					time.Sleep(time.Minute)
				}
			})
		})
	}
}

// busy has so many requests run that hold their places until they are released.
func (p *patient) busy(n int, r upstream.Request) (release func()) {
	p.t.Helper()
	var bodies []io.Closer
	for range n {
		resp, err := p.client.Do(p.t.Context(), r)
		if err != nil {
			p.t.Fatal(err)
		}
		bodies = append(bodies, resp.Body)
	}
	return func() {
		for _, b := range bodies {
			b.Close()
		}
	}
}

// TestConcurrency: manifests ahead of blobs ahead of checks, and blobs leave a place free.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, func(cfg *upstream.Config) { cfg.Concurrency = 3 })
		layer := string(p.AddBlob("a", []byte("layer")))
		for i := range 9 {
			p.AddImage("a", fmt.Sprint(i))
		}
		release, later := p.busy(1, blob("a", layer, 0)), p.busy(1, blob("a", layer, 0))
		var waiting sync.WaitGroup
		one := func(r upstream.Request) {
			waiting.Go(func() {
				resp, err := p.client.Do(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second) // holding its place
				resp.Body.Close()
			})
			synctest.Wait()
		}
		p.Reset()
		check := manifest("a", "8")
		check.Check = true
		one(blob("a", layer, 0)) // which may not have the third place
		if n := len(p.Requests()); n != 0 {
			t.Errorf("%d blobs have the place that is not theirs", n)
		}
		one(manifest("a", "0"))
		one(check)
		one(manifest("a", "1"))
		one(manifest("a", "2"))
		if !p.client.Ailing() {
			t.Error("somebody would wait for that")
		}
		waiting.Go(func() { time.Sleep(2500 * time.Millisecond); release() })
		waiting.Wait()
		later()
		var order []string
		for _, r := range p.Requests() {
			order = append(order, strings.Split(r, "@")[0])
		}
		want := []string{"GET manifest a:0", "GET manifest a:1", "GET manifest a:2", "GET blob a", "GET manifest a:8"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if p.client.Ailing() {
			t.Error("nobody would wait now")
		}
	})
}

// TestOverdueChecks: checks wait for everything else, but not for ever.
func TestOverdueChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Second} })
		p.AddImage("a", "check")
		check := head("a", "check")
		check.Check = true
		var waiting sync.WaitGroup
		for range 25 {
			waiting.Go(func() { fetch(t, p.client, manifest("a", "1")) })
		}
		synctest.Wait()
		for range 3 {
			waiting.Go(func() { fetch(t, p.client, check) })
		}
		waiting.Wait()
		var checks []int
		for i, r := range p.Requests() {
			if r == "HEAD manifest a:check" {
				checks = append(checks, i)
			}
		}
		if diff := cmp.Diff([]int{10, 12, 14}, checks); diff != "" {
			t.Errorf("turns of the checks (-want +got):\n%s", diff)
		}
	})
}

// TestQueueEnds: who waits in vain is told so, who leaves is forgotten, and who has other
// ways does not wait.
func TestQueueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, func(cfg *upstream.Config) { cfg.Concurrency = 1 })
		layer := string(p.AddBlob("a", []byte("layer")))
		release := p.busy(1, manifest("a", "1"))
		segment := blob("a", layer, 1)
		segment.Length = 2
		began := time.Now()
		if e := refused(t, p.client, segment); time.Since(began) != 0 || e.Class != upstream.Unavailable {
			t.Errorf("a segment: %v after %s", e, time.Since(began))
		}
		e := refused(t, p.client, manifest("a", "1"))
		if took := time.Since(began); took != 30*time.Second || !strings.HasPrefix(e.Message, "r.example.com: its turn did not come within 30s") {
			t.Errorf("%v after %s", e, took)
		}
		if ill := p.client.Ill(); len(ill) > 0 {
			t.Errorf("the queue is ours, and these are ill: %v", ill)
		}
		release()
		p.wantAsked("then", 1, nil)
	})
}

// TestLimitsAreOfTheUpstreamItself: what another host stores does not count.
func TestLimitsAreOfTheUpstreamItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := upstreamtest.NewNetwork(t)
		p := newPatient(t, on(n), func(cfg *upstream.Config) { cfg.Concurrency = 2 })
		n.Serve("http://r.example.com", p)
		n.Serve("http://cdn.test", p.Storage())
		layer := string(p.AddBlob("a", []byte("layer")))
		p.RedirectBlobs("http://cdn.test")
		release := p.busy(5, blob("a", layer, 0))
		p.wantAsked("beside blobs from elsewhere", 1, nil)
		release()
	})
}

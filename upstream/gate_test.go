package upstream_test

import (
	"context"
	"errors"
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

// atOnce is n requests that pass at once, and others that pass after milliseconds.
func atOnce(n int, later ...time.Duration) []time.Duration {
	return append(make([]time.Duration, n), later...)
}

// TestRate: so many in a time, however many come; after a rest some at once.
func TestRate(t *testing.T) {
	for name, test := range map[string]struct {
		rate upstream.Rate
		want []time.Duration // when the first of them pass
	}{
		"1/s":    {upstream.Rate{Requests: 1, Per: time.Second}, atOnce(1, 1000, 2000, 3000, 4000)},
		"3/s":    {upstream.Rate{Requests: 3, Per: time.Second}, atOnce(3, 333, 666, 999, 1333)},
		"5/m":    {upstream.Rate{Requests: 5, Per: time.Minute}, atOnce(5, 12_000, 24_000, 36_000)},
		"30/m":   {upstream.Rate{Requests: 30, Per: time.Minute}, atOnce(20, 2000, 4000, 6000)},
		"3000/m": {upstream.Rate{Requests: 3000, Per: time.Minute}, atOnce(50, 20, 40)},
		"100/h":  {upstream.Rate{Requests: 100, Per: time.Hour}, atOnce(20, 36_000, 72_000)},
		"none":   {upstream.Rate{}, atOnce(6)},
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
					time.Sleep(time.Hour)
				}
			})
		})
	}
}

// TestColdPullAtLowRates: what waits for a token is served, even if that takes minutes.
func TestColdPullAtLowRates(t *testing.T) {
	for name, test := range map[string]struct {
		rate upstream.Rate
		want time.Duration
	}{
		"100/h": {upstream.Rate{Requests: 100, Per: time.Hour}, 0},
		"2/m":   {upstream.Rate{Requests: 2, Per: time.Minute}, 30 * time.Second},
		"1/m":   {upstream.Rate{Requests: 1, Per: time.Minute}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPatient(t, withLogin, func(cfg *upstream.Config) { cfg.Rate = test.rate })
				p.RequireToken(user, password)
				p.TokenLifetime(5 * time.Minute)
				began := time.Now()
				p.wantAsked("refused, token, answer", 3, nil)
				if took := time.Since(began); took != test.want {
					t.Errorf("took %s, want %s", took, test.want)
				}
			})
		})
	}
}

// TestQueueMoves: who waits gives up when nobody passes, not when many do.
func TestQueueMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Second} })
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { fetch(t, p.client, manifest("a", "1")) })
		}
		all.Wait()
	})
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

// TestOverdue: blobs wait for manifests, and checks for everything else, but not for ever.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Second} })
		p.AddImage("a", "check")
		check := head("a", "check")
		check.Check = true
		layer := blob("a", string(p.AddBlob("a", []byte("layer"))), 0)
		var waiting sync.WaitGroup
		wait := func(n int, r upstream.Request) {
			for range n {
				waiting.Go(func() { fetch(t, p.client, r) })
			}
			synctest.Wait()
		}
		wait(25, manifest("a", "1"))
		wait(3, check)
		time.Sleep(3500 * time.Millisecond)
		wait(3, layer)
		waiting.Wait()
		turns := map[string][]int{}
		for i, r := range p.Requests() {
			kind := strings.Split(strings.Split(r, "@")[0], ":")[0]
			turns[kind] = append(turns[kind], i)
		}
		delete(turns, "GET manifest a")
		want := map[string][]int{"HEAD manifest a": {10, 12, 14}, "GET blob a": {16, 18, 20}}
		if diff := cmp.Diff(want, turns); diff != "" {
			t.Errorf("turns (-want +got):\n%s", diff)
		}
	})
}

// TestBlobsWait: a layer waits for another, however large that is.
func TestBlobsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, func(cfg *upstream.Config) { cfg.Concurrency = 2 })
		layer := string(p.AddBlob("a", []byte("layer")))
		release := p.busy(1, blob("a", layer, 0))
		began := time.Now()
		time.AfterFunc(time.Hour, release)
		fetch(t, p.client, blob("a", layer, 0))
		if took := time.Since(began); took != time.Hour {
			t.Errorf("the second layer came after %s", took)
		}
		release = p.busy(1, blob("a", layer, 0))
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.client.Do(ctx, blob("a", layer, 0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the end of who waits", err)
		}
		p.wantAsked("the other place is free", 1, nil)
	})
}

// TestQueuedTokenIsNotLost: a token that our own queue kept from us says nothing about where
// tokens are.
func TestQueuedTokenIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, withLogin, func(cfg *upstream.Config) { cfg.Concurrency = 1 })
		p.RequireToken(user, password)
		p.TokenLifetime(time.Minute)
		release := p.busy(1, manifest("a", "1"))
		time.Sleep(time.Hour)
		if _, err := p.asks(); !errors.Is(err, upstream.ErrQueue) {
			t.Errorf("%v, want %v", err, upstream.ErrQueue)
		}
		release()
		p.wantAsked("a token and a manifest", 2, nil)
	})
}

// TestTokenExpiresInQueue: a token that was good when it was chosen is no wrong login.
func TestTokenExpiresInQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, withLogin, func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Minute} })
		p.RequireToken(user, password)
		p.TokenLifetime(30 * time.Second)
		e := refused(t, p.client, manifest("a", "1"))
		if e.Class != upstream.Unavailable || !errors.Is(e, upstream.ErrQueue) || e.Message != "r.example.com: its turn did not come before its token expired" {
			t.Errorf("%s %v", e.Class, e)
		}
		p.TokenLifetime(5 * time.Minute)
		p.wantAsked("token, answer", 2, nil)
	})
}

// TestDownDoesNotQueue: nobody waits for the news that a host is down, and it costs no turn.
func TestDownDoesNotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := upstreamtest.NewNetwork(t)
		p := newPatient(t, on(n), func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Second} })
		n.Serve("http://r.example.com", p)
		n.Befall("r.example.com", upstreamtest.Refusing)
		began := time.Now()
		// told is after what times so many were told that it is down.
		told := func(n int) map[time.Duration]bool {
			times := map[time.Duration]bool{}
			var all sync.WaitGroup
			var mu sync.Mutex
			for range n {
				all.Go(func() {
					if _, err := p.client.Do(t.Context(), manifest("a", "1")); errors.Is(err, upstream.ErrDown) {
						mu.Lock()
						defer mu.Unlock()
						times[time.Since(began)] = true
					}
				})
			}
			all.Wait()
			return times
		}
		if times := told(40); len(times) != 1 {
			t.Errorf("those who waited when it went down were told after %v; want all at once", times)
		}
		refused(t, p.client, blob("a", string(p.AddBlob("a", []byte("layer"))), 1)) // who goes on has the next turn
		began = time.Now()
		if times := told(40); len(times) != 1 || !times[0] {
			t.Errorf("those who came later were told after %v; want at once", times)
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

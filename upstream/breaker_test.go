package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestBreaker: so many failures in a row, and a host is asked by one request in a while,
// until one is answered.
func TestBreaker(t *testing.T) {
	for name, test := range map[string]struct {
		fault upstreamtest.Fault
		// asked is how often each of the first requests is tried.
		asked  []int
		reason string
	}{
		"broken": {upstreamtest.Fault{CutAfter: -1}, []int{3, 2}, "connection broke before an answer"},
		"500":    {upstreamtest.Fault{Status: 500}, []int{3, 3, 3, 1}, "answered 500"},
		"503":    {upstreamtest.Fault{Status: 503, Header: http.Header{"Retry-After": {"60"}}}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "answered 503"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPatient(t)
				p.wantAsked("well", 1, nil)
				p.Fail(nil, test.fault)
				for _, n := range test.asked {
					p.wantIll("not yet")
					p.wantAsked("failing", n, errAny)
				}
				down := upstream.Condition{Host: "r.example.com", Down: true, Reason: test.reason}
				p.wantIll("then", down)
				for rest := time.Second; rest <= 32*time.Second; rest *= 2 {
					for range 3 {
						p.wantAsked("down", 0, upstream.ErrDown)
					}
					wait := min(rest, 15*time.Second)
					time.Sleep(wait - time.Millisecond)
					p.wantAsked("down still", 0, upstream.ErrDown)
					time.Sleep(time.Millisecond)
					p.wantAsked("a trial", 1, errAny)
				}
				p.wantIll("still", down)
				p.Mend()
				p.wantAsked("mended, and not tried", 0, upstream.ErrDown)
				time.Sleep(15 * time.Second)
				p.wantAsked("a trial that works", 1, nil)
				p.wantIll("well again")
				p.wantAsked("well again", 1, nil)
				p.Fail(nil, test.fault)
				p.wantAsked("failing again", test.asked[0], errAny)
			})
		})
	}
}

// TestBreakerHasOneTrial: of many who come when a trial is due, one is asked.
func TestBreakerHasOneTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		p.goesDown()
		p.Mend()
		release := make(chan struct{})
		p.Fail(nil, upstreamtest.Fault{Release: release, StallAfter: -1})
		time.Sleep(time.Second)
		p.Reset()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if resp, err := p.client.Do(t.Context(), manifest("a", "1")); err == nil {
					resp.Body.Close()
				}
			})
		}
		synctest.Wait()
		if n := len(p.Requests()); n != 1 {
			t.Errorf("%d requests, want one trial", n)
		}
		close(release)
		all.Wait()
		p.wantIll("well again")
		want := "# HELP berth_upstream_spared_total Requests that were not sent since the upstream's host was down.\n# TYPE berth_upstream_spared_total counter\n" +
			"berth_upstream_spared_total{upstream=\"hub\"} 49\n"
		if err := testutil.GatherAndCompare(p.metrics, strings.NewReader(want), "berth_upstream_spared_total", "berth_upstream_host_ill"); err != nil {
			t.Error(err)
		}
	})
}

// TestTrialThatLeaves: who goes before the answer of a trial leaves its place to the next.
func TestTrialThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		p.goesDown()
		p.Mend()
		p.Fail(nil, upstreamtest.Fault{Release: make(chan struct{}), StallAfter: -1, Times: 1})
		time.Sleep(time.Second)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := p.client.Do(ctx, manifest("a", "1")); err == nil {
			t.Error("no error")
		}
		p.wantAsked("the next", 1, nil)
	})
}

// TestBreakerOfASilentHost: after four seconds without a word it is slow, and asked as ever;
// once it has kept somebody waiting in vain it is down. One slow answer among others means
// nothing.
func TestBreakerOfASilentHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		slow := upstream.Condition{Host: "r.example.com", Reason: "no answer in time"}
		silent := upstreamtest.Fault{Release: make(chan struct{}), StallAfter: -1}
		p.Fail(upstreamtest.On("GET manifest"), silent)
		var waiting sync.WaitGroup
		waiting.Go(p.wantFails)
		time.Sleep(4*time.Second - time.Millisecond)
		p.wantIll("soon")
		time.Sleep(2 * time.Millisecond)
		p.wantIll("silent", slow)
		fetch(t, p.client, head("a", "1"))
		p.wantIll("it answers others")
		waiting.Wait()
		p.wantIll("in vain, and others were answered")

		p.Mend()
		p.Fail(nil, silent)
		waiting.Go(p.wantFails)
		time.Sleep(5 * time.Second)
		p.wantIll("silent to all", slow)
		before := len(p.Requests())
		for range 3 {
			waiting.Go(p.wantFails)
		}
		synctest.Wait()
		if n := len(p.Requests()) - before; n != 3 {
			t.Errorf("%d of 3 requests were sent to a slow host", n)
		}
		time.Sleep(25 * time.Second)
		synctest.Wait()
		p.wantIll("in vain", upstream.Condition{Host: "r.example.com", Down: true, Reason: "no answer in time"})
		p.wantAsked("down", 0, upstream.ErrDown)
		waiting.Wait()
	})
}

// TestWhatABreakerDoesNotMind: refusals are answers, who leaves says nothing, and one host's
// trouble is not another's.
func TestWhatABreakerDoesNotMind(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 429, 501} {
		synctest.Test(t, func(t *testing.T) {
			p := newPatient(t)
			p.Fail(nil, upstreamtest.Fault{Status: status})
			for range 12 {
				if _, err := p.asks(); err == nil || errors.Is(err, upstream.ErrDown) {
					t.Errorf("%d: %v", status, err)
				}
			}
			p.wantIll("refusals")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		p.Fail(nil, upstreamtest.Fault{Release: make(chan struct{}), StallAfter: -1})
		for range 12 {
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			if _, err := p.client.Do(ctx, manifest("a", "1")); err == nil {
				t.Error("no error")
			}
			leave()
		}
		p.wantIll("clients that leave")
	})
}

// TestFailuresFarApart: what fails now and then is not down.
func TestFailuresFarApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		p.Fail(nil, upstreamtest.Fault{CutAfter: -1})
		for range 5 {
			p.wantAsked("now and then", 3, errAny)
			time.Sleep(2 * time.Minute)
		}
		p.wantIll("now and then")
	})
}

// TestBreakerWhileConnecting: an address that refuses, and one where nobody is.
func TestBreakerWhileConnecting(t *testing.T) {
	for name, test := range map[string]struct {
		dial   func(context.Context) error
		asked  int
		reason string
	}{
		"refused":   {func(context.Context) error { return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED} }, 2, "connection refused"},
		"blackhole": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 1, "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPatient(t, func(cfg *upstream.Config) {
					cfg.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, test.dial(ctx) }
				})
				for range test.asked {
					p.wantIll("not yet")
					p.wantAsked("in vain", 0, errAny)
				}
				p.wantIll("then", upstream.Condition{Host: "r.example.com", Down: true, Reason: test.reason})
				p.wantAsked("down", 0, upstream.ErrDown)
			})
		})
	}
}

// TestRepositoryThatFails: one that is answered 500 is asked now and then; the others are as
// ever, until one of them fails as well.
func TestRepositoryThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		p.Fail(upstreamtest.On("GET manifest bad:1"), upstreamtest.Fault{Status: 500})
		var spared, good int
		for i := range 600 {
			if _, err := p.client.Do(t.Context(), manifest("bad", "1")); errors.Is(err, upstream.ErrDown) {
				spared++
			}
			if i%10 == 0 {
				fetch(t, p.client, manifest("a", "1"))
				good++
			}
			p.wantIll("for one repository")
			time.Sleep(time.Second)
		}
		if spared == 0 || good != 60 {
			t.Errorf("%d were spared, %d good ones", spared, good)
		}
		p.Mend()
		p.Fail(nil, upstreamtest.Fault{Status: 500})
		for range 6 {
			p.wantFails()
			if _, err := p.client.Do(t.Context(), manifest("bad", "1")); err == nil {
				t.Error("no error")
			}
		}
		p.wantIll("for all", upstream.Condition{Host: "r.example.com", Down: true, Reason: "answered 500"})
	})
}

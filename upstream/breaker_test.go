package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// patient is an upstream in a bubble, with what its Client exports.
type patient struct {
	*upstreamtest.Registry
	t       *testing.T
	client  *upstream.Client
	metrics *prometheus.Registry
	turn    int
}

func newPatient(t *testing.T, change ...func(*upstream.Config)) *patient {
	t.Helper()
	p := &patient{Registry: upstreamtest.New(t), t: t, metrics: prometheus.NewRegistry()}
	p.AddImage("a", "1", []byte("layer"))
	p.AddImage("b", "1", []byte("layer"))
	n := upstreamtest.NewNetwork(t)
	change = append([]func(*upstream.Config){on(n), func(cfg *upstream.Config) { cfg.Metrics = upstream.NewMetrics(p.metrics) }}, change...)
	p.client = newClient(t, n.Serve("http://r.example.com", p), change...)
	return p
}

// asks asks for a manifest of one repository or the other, in turn, and says how many
// requests that took.
func (p *patient) asks() (int, error) {
	p.t.Helper()
	before := len(p.Requests())
	p.turn++
	resp, err := p.client.Do(p.t.Context(), manifest([]string{"a", "b"}[p.turn%2], "1"))
	if err == nil {
		resp.Body.Close()
	}
	return len(p.Requests()) - before, err
}

func (p *patient) wantAsked(what string, want int, wantErr error) {
	p.t.Helper()
	if got, err := p.asks(); got != want || (err == nil) != (wantErr == nil) || wantErr != nil && errors.Is(wantErr, upstream.ErrDown) != errors.Is(err, upstream.ErrDown) {
		p.t.Errorf("%s: %d requests, %v; want %d, %v", what, got, err, want, wantErr)
	}
}

func (p *patient) wantIll(what string, want ...upstream.Condition) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.client.Ill(), cmpopts.IgnoreFields(upstream.Condition{}, "Since")); diff != "" {
		p.t.Errorf("%s: ill (-want +got):\n%s", what, diff)
	}
	if got := p.client.Ailing(); got != (len(want) > 0) {
		p.t.Errorf("%s: ailing %t", what, got)
	}
}

var errAny = errors.New("an error")

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
		p.Fail(nil, upstreamtest.Fault{CutAfter: -1})
		p.wantAsked("first", 3, errAny)
		p.wantAsked("second", 2, errAny)
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
		p.Fail(nil, upstreamtest.Fault{CutAfter: -1})
		p.wantAsked("first", 3, errAny)
		p.wantAsked("second", 2, errAny)
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

func (p *patient) wantFails() {
	if resp, err := p.client.Do(p.t.Context(), manifest("a", "1")); err == nil {
		resp.Body.Close()
		p.t.Error("no error")
	}
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

// TestBreakerIsOfAHost: where blobs come from may be down while manifests go on, and whoever
// has a part of a blob goes on asking.
func TestBreakerIsOfAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		layer := string(p.AddBlob("a", []byte("layer")))
		p.RedirectBlobs("http://cdn.test") // nobody is called that
		for range 20 {
			refused(t, p.client, blob("a", layer, 0))
		}
		want := []upstream.Condition{{Host: "cdn.test", Down: true, Reason: "name cdn.test does not exist"}}
		if diff := cmp.Diff(want, p.client.Ill(), cmpopts.IgnoreFields(upstream.Condition{}, "Since")); diff != "" {
			t.Errorf("ill (-want +got):\n%s", diff)
		}
		if p.client.Ailing() {
			t.Error("ailing, where manifests come as ever")
		}
		p.wantAsked("a manifest", 1, nil)
		if e := refused(t, p.client, blob("a", layer, 0)); !errors.Is(e, upstream.ErrDown) || !strings.Contains(e.Message, "cdn.test: not asked, it is down since 00:00:") {
			t.Errorf("a blob: %v", e)
		}
		if e := refused(t, p.client, blob("a", layer, 2)); errors.Is(e, upstream.ErrDown) {
			t.Errorf("the rest of a blob: %v", e)
		}
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

// hostsIll is what is exported of hosts that are ill.
func (p *patient) hostsIll() map[string]float64 {
	p.t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	ill := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "berth_upstream_host_ill" {
			for _, m := range f.GetMetric() {
				ill[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return ill
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

// TestHostThatNobodyAsks: what is known of it is out of date after a while.
func TestHostThatNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		p.Fail(nil, upstreamtest.Fault{CutAfter: -1})
		p.wantAsked("first", 3, errAny)
		p.wantAsked("second", 2, errAny)
		for range 5 {
			time.Sleep(time.Minute)
			p.wantAsked("now and then", 1, errAny)
		}
		p.wantIll("asked", upstream.Condition{Host: "r.example.com", Down: true, Reason: "connection broke before an answer"})
		if diff := cmp.Diff(map[string]float64{"r.example.com": 2}, p.hostsIll()); diff != "" {
			t.Errorf("exported (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Minute)
		p.wantIll("not asked")
		if diff := cmp.Diff(map[string]float64{}, p.hostsIll()); diff != "" {
			t.Errorf("exported (-want +got):\n%s", diff)
		}
	})
}

// TestManyHosts: redirects lead to as many hosts as they like; those known are bounded, and
// the upstream's own is always one of them.
func TestManyHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		layer := string(p.AddBlob("a", []byte("layer")))
		for i := range 200 {
			p.RedirectBlobs(fmt.Sprintf("http://cdn%d.test", i)) // nobody is called that
			for range 6 {
				refused(t, p.client, blob("a", layer, 0))
			}
		}
		if n := len(p.client.Ill()); n == 0 || n > 64 {
			t.Errorf("%d hosts are known to be ill", n)
		}
		if n := len(p.hostsIll()); n == 0 || n > 64 {
			t.Errorf("%d hosts are exported", n)
		}
		p.Fail(nil, upstreamtest.Fault{CutAfter: -1})
		for range 3 {
			p.wantFails()
		}
		if !p.client.Ailing() {
			t.Error("the upstream's own host is not known")
		}
		p.client.Retire()
		if ill := p.hostsIll(); len(ill) > 0 {
			t.Errorf("of a retired client: %v", ill)
		}
	})
}

// TestBlobsAreAside: a host of blobs that is ill keeps nobody from waiting for a manifest, even
// if it was asked by HEAD, nor does a segment that has no answer.
func TestBlobsAreAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		layer := string(p.AddBlob("a", []byte("layer")))
		p.RedirectBlobs("http://cdn.test") // nobody is called that
		r := blob("a", layer, 0)
		r.Method = http.MethodHead
		for range 5 {
			refused(t, p.client, r)
		}
		if p.client.Ailing() || len(p.client.Ill()) != 1 {
			t.Errorf("ailing %t, ill %v", p.client.Ailing(), p.client.Ill())
		}
		p.RedirectBlobs("")
		p.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: make(chan struct{}), StallAfter: -1})
		segment := blob("a", layer, 1)
		segment.Length = 2
		refused(t, p.client, segment)
		if p.client.Ailing() {
			t.Error("ailing, since a segment had no answer")
		}
	})
}

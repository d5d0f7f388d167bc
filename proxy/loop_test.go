package proxy_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// circle is of Berths, each of which has the next for an upstream.
type circle struct {
	berths []*rig

	mu   sync.Mutex // guards seen and meet
	seen []string   // "<berth> through <n>", n being that of the Berths a request came through
	// meet, if set, holds up each request of one Berth to another until all have met.
	meet *sync.WaitGroup
}

// newCircle makes a circle of n; change, if set, changes the plan of each.
func newCircle(t *testing.T, n int, change func(i int, p *plan)) *circle {
	t.Helper()
	c := &circle{}
	network := upstreamtest.NewNetwork(t)
	for i := range n {
		name := fmt.Sprintf("berth%d", i)
		p := plan{
			network: network, name: name,
			upstreams: []far{{name: fmt.Sprintf("berth%d", (i+1)%n), berth: true}},
			seen:      func(q *http.Request) { c.see(name, q) },
		}
		if change != nil {
			change(i, &p)
		}
		c.berths = append(c.berths, newRig(t, p))
	}
	return c
}

func (c *circle) see(name string, q *http.Request) {
	came := 0
	if chain := q.Header.Get("CDN-Loop"); chain != "" {
		came = strings.Count(chain, ",") + 1
	}
	c.mu.Lock()
	c.seen = append(c.seen, fmt.Sprintf("%s through %d", name, came))
	meet := c.meet
	c.mu.Unlock()
	if came == 1 && meet != nil {
		meet.Done()
		meet.Wait()
	}
}

// was returns what has been seen since the last time, sorted.
func (c *circle) was() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := slices.Sorted(slices.Values(c.seen))
	c.seen = nil
	return was
}

const inACircle = " cannot be fetched: caches ask each other in a circle: "

// leadsBack is what a Berth says of its upstream.
func leadsBack(name string) string {
	return name + ": " + name + ".test: leads back to a cache that has asked already (508 Loop Detected): take upstream " + name +
		" out of the configuration here, or what leads back out of that of " + name + ".test"
}

var isLoop = failed(508, "UNSUPPORTED", "loop", "")

// TestLoop: whatever is asked for, who asks is told at once that his Berth's upstreams lead
// in a circle, and no Berth is asked more than once on the way round, the first one twice.
func TestLoop(t *testing.T) {
	d := digest.FromString("anything")
	for _, ask := range []struct{ path, subject string }{
		{manifestPath("app", "1"), "app:1"},
		{manifestPath("app", string(d)), "app@" + string(d)},
		{blobPath("app", d), "app@" + string(d)},
		{"/v2/app/tags/list", "app"},
		{"/v2/app/referrers/" + string(d), "app@" + string(d)},
	} {
		for n := 1; n <= 3; n++ {
			for _, method := range []string{"GET", "HEAD"} {
				timeless(t, fmt.Sprintf("%s of %s, a circle of %d", method, ask.path, n), func(t *testing.T) {
					c := newCircle(t, n, nil)
					first := c.berths[0]
					want := []string{"berth0 through 0", fmt.Sprintf("berth0 through %d", n)}
					for i := 1; i < n; i++ {
						want = append(want, fmt.Sprintf("berth%d through %d", i, i))
					}
					slices.Sort(want)
					// More often than a breaker needs, which would tell another story.
					for range 12 {
						began := time.Now()
						a := first.do(method, ask.path)
						if took := time.Since(began); took != 0 {
							t.Errorf("told after %s", took)
						}
						if method == "GET" {
							first.tells(a, isLoop)
							says := ask.subject + inACircle + leadsBack(fmt.Sprintf("berth%d", 1%n))
							if !strings.Contains(string(a.body), says) {
								t.Errorf("says %s\nwant %s", a.body, says)
							}
						} else if a.StatusCode != 508 {
							t.Errorf("%s", a.Status)
						}
						if diff := cmp.Diff(want, c.was()); diff != "" {
							t.Errorf("requests (-want +got):\n%s", diff)
						}
					}
				})
			}
		}
	}
}

// TestLoopAskedByAll: Berths in a circle, all of which are asked for the same by clients of
// their own at the same time, do not wait for each other.
func TestLoopAskedByAll(t *testing.T) {
	d := digest.FromString("anything")
	for _, path := range []string{manifestPath("app", "1"), manifestPath("app", string(d)), blobPath("app", d), "/v2/app/tags/list", "/v2/app/referrers/" + string(d)} {
		for n := 2; n <= 3; n++ {
			timeless(t, fmt.Sprintf("%s, a circle of %d", path, n), func(t *testing.T) {
				c := newCircle(t, n, nil)
				c.meet = &sync.WaitGroup{}
				c.meet.Add(n)
				began := time.Now()
				crowd(n, func(i int) { c.berths[i].tells(c.berths[i].get(path), isLoop) })
				if took := time.Since(began); took != 0 {
					t.Errorf("told after %s", took)
				}
			})
		}
	}
}

// TestLoopOfLinks: two Berths that know each other to have a blob, which neither holds any
// more, and are asked for it at the same time, get it where it is.
func TestLoopOfLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircle(t, 2, func(i int, p *plan) {
			hub := far{name: fmt.Sprintf("hub%d", i)}
			if p.upstreams = append(p.upstreams, hub); i == 1 {
				p.upstreams = []far{hub}
			}
		})
		content := noise(1, 200_000)
		one, two := c.berths[0], c.berths[1]
		d := one.hubs["hub0"].AddBlob("app", content)
		two.hubs["hub1"].AddBlob("app", content)
		path := blobPath("app", d)
		one.pulled(path, content) // through the other
		synctest.Wait()
		two.plan.upstreams = []far{{name: "berth0", berth: true}, {name: "hub1"}}
		two.restart()
		two.pulled(path+"?ns=berth0.test", content)
		for _, r := range c.berths {
			r.stop()
			check(t, os.RemoveAll(filepath.Join(r.dir, "content")))
			r.start()
			for _, hub := range r.hubs {
				hub.Reset()
			}
		}
		c.meet = &sync.WaitGroup{}
		c.meet.Add(2)
		began := time.Now()
		crowd(2, func(i int) { c.berths[i].pulled(path, content) })
		if took := time.Since(began); took != 0 {
			t.Errorf("got after %s", took)
		}
		synctest.Wait()
		if n := one.hubs["hub0"].Count("") + two.hubs["hub1"].Count(""); n < 1 || n > 2 {
			t.Errorf("fetched %d times by two", n)
		}
	})
}

// TestLoopWithACopy: what is held is served at once, with the reason, and digests do not
// notice.
func TestLoopWithACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircle(t, 2, func(i int, p *plan) {
			if i == 1 {
				p.upstreams = []far{{name: "hub"}}
			}
		})
		one, two := c.berths[0], c.berths[1]
		image := two.hubs["hub"].AddImage("app", "1", []byte("layer"))
		one.pulled(manifestPath("app", "1"), image.Manifest)
		one.pulled("/v2/app/tags/list", []byte(`{"name":"app","tags":["1"]}`))
		two.plan.upstreams = []far{{name: "berth0", berth: true}}
		two.restart()
		time.Sleep(25 * time.Hour)
		for i := range 12 {
			began := time.Now()
			one.tells(one.pulled(manifestPath("app", "1"), image.Manifest), told{
				Status: 200, CacheStatus: "berth; hit; fwd=stale; detail=upstream-loop", Age: "90000", Warning: warning("90000", "upstream-loop"),
			})
			one.tells(one.get("/v2/app/tags/list"), told{Status: 200, CacheStatus: "berth; hit; fwd=stale; detail=upstream-loop", Age: "90000"})
			one.tells(one.pulled(manifestPath("app", image.Digest.String()), image.Manifest), hit(0))
			if took := time.Since(began); took != 0 {
				t.Errorf("the %dth was served after %s", i, took)
			}
		}
	})
}

// TestLoopIsNotRemembered: once nothing leads back any more, the next request is answered.
func TestLoopIsNotRemembered(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		timeless(t, method, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}})
			hub := r.hubs["hub"]
			image := hub.AddImage("app", "1", []byte("layer"))
			r.hubs["other"].AddImage("app", "1", []byte("a stranger's"))
			hub.Fail(nil, refusal(508, "UNSUPPORTED"))
			for range 12 {
				if a := r.do(method, manifestPath("app", "1")); a.StatusCode != 508 {
					t.Errorf("%s", a.Status)
				}
			}
			r.asked("hub", slices.Repeat([]string{method + " manifest app:1"}, 12)...)
			r.asked("other") // as of any that is ill
			hub.Mend()
			r.pulled(manifestPath("app", "1"), image.Manifest)
		})
	}
}

// TestLoopOfReplicas: of several Berths behind one name, which is their upstream, one is
// reached again sooner or later, or the chain becomes too long.
func TestLoopOfReplicas(t *testing.T) {
	for n := 2; n <= 9; n++ {
		timeless(t, fmt.Sprint(n), func(t *testing.T) {
			c := newCircle(t, n, func(_ int, p *plan) { p.upstreams = []far{{name: "all", berth: true}} })
			var mu sync.Mutex
			next := 0
			c.berths[0].network.Serve("http://all.test", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				mu.Lock()
				next = (next + 1) % n
				r := c.berths[next]
				mu.Unlock()
				r.ServeHTTP(w, q)
			}))
			c.berths[0].tells(c.berths[0].get(manifestPath("app", "1")), isLoop)
			if got, want := len(c.was()), min(n, 5)+1; got != want {
				t.Errorf("%d requests, want %d", got, want)
			}
		})
	}
}

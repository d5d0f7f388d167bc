package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// place is where logins are looked up, for a test to change.
type place struct {
	asked atomic.Int64
	mu    sync.Mutex // guards find
	find  func(ctx context.Context) (upstream.Found, error)
}

func (p *place) look(ctx context.Context, host string) (upstream.Found, error) {
	p.asked.Add(1)
	p.mu.Lock()
	find := p.find
	p.mu.Unlock()
	if host != "r.example.com" {
		return upstream.Found{}, errors.New("asked for " + host)
	}
	return find(ctx)
}

func (p *place) set(find func(ctx context.Context) (upstream.Found, error)) {
	p.mu.Lock()
	p.find = find
	p.mu.Unlock()
}

// has gives the login of jo for so long; zero is nobody knows.
func (p *place) has(word string, lasts time.Duration) {
	p.set(func(context.Context) (upstream.Found, error) {
		f := upstream.Found{Username: user, Password: word}
		if lasts != 0 {
			f.Expires = time.Now().Add(lasts)
		}
		return f, nil
	})
}

func (p *place) fails(text string) {
	p.set(func(context.Context) (upstream.Found, error) { return upstream.Found{}, errors.New(text) })
}

// hangs until the lookup's time is over.
func (p *place) hangs() {
	p.set(func(ctx context.Context) (upstream.Found, error) {
		<-ctx.Done()
		return upstream.Found{}, ctx.Err()
	})
}

func (p *place) want(t *testing.T, n int64) {
	t.Helper()
	synctest.Wait()
	if got := p.asked.Swap(0); got != n {
		t.Errorf("%d lookups, want %d", got, n)
	}
}

// sought runs f with a registry that wants Basic, or a token, and a Client whose login is
// looked up, in fake time.
func sought(t *testing.T, f func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client, p *place)) {
	t.Helper()
	for name, require := range map[string]func(*upstreamtest.Registry){
		"basic": func(r *upstreamtest.Registry) { r.RequireBasic(user, password) },
		"token": func(r *upstreamtest.Registry) { r.RequireToken(user, password) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, p := upstreamtest.New(t), &place{}
				reg.AddImage("a", "1")
				require(reg)
				n := upstreamtest.NewNetwork(t)
				f(t, reg, newClient(t, n.Serve("https://r.example.com", reg), on(n), func(cfg *upstream.Config) {
					cfg.Credentials = []upstream.Credential{upstream.Lookup("ecr", p.look)}
				}), p)
			})
		})
	}
}

func TestLookupIsShared(t *testing.T) {
	sought(t, func(t *testing.T, _ *upstreamtest.Registry, c *upstream.Client, p *place) {
		release := make(chan struct{})
		p.set(func(context.Context) (upstream.Found, error) {
			<-release
			return upstream.Found{Username: user, Password: password, Expires: time.Now().Add(12 * time.Hour)}, nil
		})
		go func() {
			time.Sleep(time.Second)
			close(release)
		}()
		for _, err := range together(t, 50, c) {
			if err != nil {
				t.Error(err)
			}
		}
		p.want(t, 1)
		time.Sleep(10 * time.Hour)
		fetch(t, c, manifest("a", "1"))
		p.want(t, 0)
	})
}

// TestLookupIsRenewedBehind: between an hour and half an hour before ECR's login ends, and
// nobody waits for it.
func TestLookupIsRenewedBehind(t *testing.T) {
	sought(t, func(t *testing.T, _ *upstreamtest.Registry, c *upstream.Client, p *place) {
		p.has(password, 12*time.Hour)
		fetch(t, c, manifest("a", "1"))
		p.want(t, 1)
		p.hangs()
		time.Sleep(11*time.Hour - time.Second)
		fetch(t, c, manifest("a", "1"))
		p.want(t, 0)
		time.Sleep(31 * time.Minute)
		began := time.Now()
		fetch(t, c, manifest("a", "1"))
		fetch(t, c, manifest("a", "1"))
		if d := time.Since(began); d != 0 {
			t.Errorf("waited %s", d)
		}
		p.want(t, 1)
		time.Sleep(20 * time.Second) // it gave up
		p.has(password, 12*time.Hour)
		time.Sleep(time.Minute)
		fetch(t, c, manifest("a", "1"))
		p.want(t, 1)
		time.Sleep(time.Hour)
		fetch(t, c, manifest("a", "1"))
		p.want(t, 0)
	})
}

// What gave no end is used on while its renewal fails; what has ended is not.
func TestLoginOutlivesFailedLookups(t *testing.T) {
	sought(t, func(t *testing.T, _ *upstreamtest.Registry, c *upstream.Client, p *place) {
		p.has(password, 0)
		fetch(t, c, manifest("a", "1"))
		p.want(t, 1)
		p.fails("metadata service is away")
		for range 10 {
			time.Sleep(5 * time.Minute)
			fetch(t, c, manifest("a", "1"))
			p.want(t, 1)
		}
		p.has(password, time.Hour)
		time.Sleep(5 * time.Minute)
		fetch(t, c, manifest("a", "1"))
		synctest.Wait() // for the lookup that goes on behind
		p.fails("metadata service is away")
		time.Sleep(time.Hour)
		e := refused(t, c, manifest("a", "1"))
		if e.Class != upstream.Unavailable || e.Message != "r.example.com: no login from ecr: metadata service is away" {
			t.Errorf("%v: %s", e.Class, e.Message)
		}
	})
}

// TestFailedLookupIsNotRepeatedAtOnce, and is repeated within a minute.
func TestFailedLookupIsNotRepeatedAtOnce(t *testing.T) {
	sought(t, func(t *testing.T, _ *upstreamtest.Registry, c *upstream.Client, p *place) {
		p.fails("no role is attached")
		for range 20 {
			if e := refused(t, c, manifest("a", "1")); !strings.HasSuffix(e.Message, "no role is attached") {
				t.Error(e.Message)
			}
		}
		p.want(t, 1)
		for range 120 {
			time.Sleep(10 * time.Second)
			refused(t, c, manifest("a", "1"))
		}
		synctest.Wait()
		if n := p.asked.Swap(0); n < 20 || n > 45 {
			t.Errorf("%d lookups in twenty minutes", n)
		}
		p.has(password, time.Hour)
		time.Sleep(time.Minute)
		fetch(t, c, manifest("a", "1"))
	})
}

func TestLookupIsBounded(t *testing.T) {
	sought(t, func(t *testing.T, _ *upstreamtest.Registry, c *upstream.Client, p *place) {
		p.hangs()
		began := time.Now()
		e := refused(t, c, manifest("a", "1"))
		if d := time.Since(began); d != 20*time.Second || e.Message != "r.example.com: no login from ecr: no answer in time" {
			t.Errorf("after %s: %s", d, e.Message)
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := c.Do(ctx, manifest("a", "1")); err == nil || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		c.Close() // and the lookup under way
	})
}

// TestRefusedLoginIsLookedUpAgain: a role's password that was changed before its time fails
// nobody, unless it was looked up a moment ago.
func TestRefusedLoginIsLookedUpAgain(t *testing.T) {
	sought(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client, p *place) {
		p.has("old", 12*time.Hour)
		if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Refused || e.Message != "r.example.com: login refused; check what ecr gives of upstream hub" {
			t.Errorf("%v: %s", e.Class, e.Message)
		}
		p.want(t, 1)
		p.has(password, 12*time.Hour)
		time.Sleep(time.Minute)
		reg.Reset()
		fetch(t, c, manifest("a", "1"))
		p.want(t, 1)
	})
}

// TestOldPasswordThatIsForbidden: ECR says 403, and names no way to log in.
func TestOldPasswordThatIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		word := "old"
		h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			_, got, ok := q.BasicAuth()
			switch {
			case !ok:
				w.Header().Set("WWW-Authenticate", `Basic realm="ecr"`)
				w.WriteHeader(http.StatusUnauthorized)
			case got != word:
				w.WriteHeader(http.StatusForbidden)
			}
		})
		n, p := upstreamtest.NewNetwork(t), &place{}
		c := newClient(t, n.Serve("https://r.example.com", h), on(n), func(cfg *upstream.Config) {
			cfg.Credentials = []upstream.Credential{upstream.Lookup("ecr", p.look)}
		})
		p.has("old", 12*time.Hour)
		fetch(t, c, manifest("a", "1"))
		time.Sleep(time.Minute)
		word = "new"
		p.has("new", 12*time.Hour)
		fetch(t, c, manifest("a", "1"))
		p.want(t, 2)
	})
}

func TestLookupsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, p := upstreamtest.New(t), &place{}
		reg.AddImage("a", "1")
		reg.RequireBasic(user, password)
		n, registry := upstreamtest.NewNetwork(t), prometheus.NewPedanticRegistry()
		c := newClient(t, n.Serve("https://r.example.com", reg), on(n), func(cfg *upstream.Config) {
			cfg.Credentials, cfg.Metrics = []upstream.Credential{upstream.Lookup("ecr", p.look)}, upstream.NewMetrics(registry)
		})
		p.fails("away")
		refused(t, c, manifest("a", "1"))
		p.has(password, time.Hour)
		time.Sleep(time.Minute)
		fetch(t, c, manifest("a", "1"))
		want := "# HELP berth_upstream_credential_lookups_total Lookups of logins by upstream, source (docker_config, a keychain) and result: ok or failed.\n" +
			"# TYPE berth_upstream_credential_lookups_total counter\n" +
			"berth_upstream_credential_lookups_total{result=\"failed\",source=\"ecr\",upstream=\"hub\"} 1\n" +
			"berth_upstream_credential_lookups_total{result=\"ok\",source=\"ecr\",upstream=\"hub\"} 1\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "berth_upstream_credential_lookups_total"); err != nil {
			t.Error(err)
		}
	})
}

// TestFoundTooLate: a login that has expired when it is found is none, and nobody is asked
// without one.
func TestFoundTooLate(t *testing.T) {
	sought(t, func(t *testing.T, r *upstreamtest.Registry, c *upstream.Client, p *place) {
		p.has(password, -time.Second)
		r.Reset()
		for range 5 {
			if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Unavailable || !strings.HasSuffix(e.Message, "it has expired already") {
				t.Errorf("%v: %s", e.Class, e.Message)
			}
		}
		p.want(t, 1)
		for _, asked := range r.Requests() {
			if !strings.Contains(asked, "manifest") { // which is bare, to learn the challenge
				t.Errorf("asked %s", asked)
			}
		}
	})
}

package upstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// member is an account at a club.
type member struct {
	word string
	// status, if set, is answered to what it asks: to pulls alone if that is 429.
	status int
	body   string
	left   string // of the pulls, for a header
}

// club is a registry with several accounts, and a token service unless it wants Basic.
type club struct {
	basic bool

	mu      sync.Mutex // guards what follows
	members map[string]*member
	asked   []string
}

const noPulls = "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading"

func newClub(names ...string) *club {
	c := &club{members: map[string]*member{}}
	for _, n := range names {
		c.members[n] = &member{word: n + "-word"}
	}
	return c
}

func (c *club) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	user, word, ok := q.BasicAuth()
	if name, token := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer "); token {
		user, ok = name, true
	}
	kind := q.Method
	if q.URL.Path == "/token" {
		kind = "token"
	}
	c.asked = append(c.asked, strings.TrimSpace(kind+" "+user))
	m := c.members[user]
	switch {
	case !ok && c.basic:
		w.Header().Set("WWW-Authenticate", `Basic realm="club"`)
		w.WriteHeader(http.StatusUnauthorized)
	case !ok:
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://r.example.com/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	case m == nil, (kind == "token" || c.basic) && word != m.word:
		w.WriteHeader(http.StatusUnauthorized)
	case kind == "token":
		fmt.Fprintf(w, `{"token": %q, "expires_in": 100000}`, user)
	case m.status == http.StatusTooManyRequests && kind != http.MethodGet, m.status == 0:
		if m.left != "" {
			w.Header().Set("Ratelimit-Limit", "100")
			w.Header().Set("Ratelimit-Remaining", m.left)
		}
		fmt.Fprint(w, "manifest")
	default:
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(m.status)
		fmt.Fprint(w, m.body)
	}
}

func (c *club) change(name string, f func(m *member)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.members[name])
}

// exhaust takes the pulls of those named.
func (c *club) exhaust(names ...string) {
	for _, n := range names {
		c.change(n, func(m *member) { m.status, m.body = http.StatusTooManyRequests, noPulls })
	}
}

func (c *club) want(t *testing.T, asked ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if diff := cmp.Diff(asked, c.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	c.asked = nil
}

// meets runs f with a club and a Client that has the logins of those named, in fake time.
func meets(t *testing.T, f func(t *testing.T, hub *club, c *upstream.Client), names ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hub, n := newClub(names...), upstreamtest.NewNetwork(t)
		f(t, hub, newClient(t, n.Serve("https://r.example.com", hub), on(n), func(cfg *upstream.Config) {
			for _, name := range names {
				cfg.Credentials = append(cfg.Credentials, upstream.Password(name, name+"-word"))
			}
		}))
	})
}

// TestNextCredentialTakesOver while the first has no pulls left, and no longer. What costs no
// pull goes on with the first.
func TestNextCredentialTakesOver(t *testing.T) {
	meets(t, func(t *testing.T, hub *club, c *upstream.Client) {
		fetch(t, c, manifest("a", "1"))
		hub.want(t, "GET", "token jo", "GET jo")
		hub.exhaust("jo")
		fetch(t, c, manifest("a", "1"))
		hub.want(t, "GET jo", "token bo", "GET bo")
		fetch(t, c, manifest("a", "1"))
		fetch(t, c, head("a", "1"))
		hub.want(t, "GET bo", "HEAD jo")
		hub.change("jo", func(m *member) { m.status = 0 })
		time.Sleep(time.Hour - time.Second)
		fetch(t, c, manifest("a", "1"))
		time.Sleep(time.Second)
		fetch(t, c, manifest("a", "1"))
		hub.want(t, "GET bo", "GET jo")
	}, "jo", "bo")
}

// TestAllCredentialsAreExhausted: only then is the upstream limited, for as long as until
// the first of them has pulls again.
func TestAllCredentialsAreExhausted(t *testing.T) {
	meets(t, func(t *testing.T, hub *club, c *upstream.Client) {
		hub.exhaust("jo")
		fetch(t, c, manifest("a", "1"))
		time.Sleep(20 * time.Minute)
		hub.exhaust("bo")
		e := refused(t, c, manifest("a", "1"))
		if e.Class != upstream.Limited || e.Limit != upstream.PullLimit || e.RetryAfter != 40*time.Minute {
			t.Errorf("%v %v for %s: %v", e.Class, e.Limit, e.RetryAfter, e)
		}
		hub.want(t, "GET", "token jo", "GET jo", "token bo", "GET bo", "GET bo")
		fetch(t, c, head("a", "1"))
		hub.want(t, "HEAD jo")
		refused(t, c, manifest("a", "1")) // of the one that has some first
		hub.want(t, "GET jo")
	}, "jo", "bo")
}

// TestOtherLimitsAreNotGoneRound: they are on an address, or on nobody knows what.
func TestOtherLimitsAreNotGoneRound(t *testing.T) {
	for _, body := range []string{"Too Many Requests", `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`} {
		meets(t, func(t *testing.T, hub *club, c *upstream.Client) {
			hub.change("jo", func(m *member) { m.status, m.body = http.StatusTooManyRequests, body })
			if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Limited || e.Limit == upstream.PullLimit {
				t.Errorf("%v %v", e.Class, e.Limit)
			}
			hub.want(t, "GET", "token jo", "GET jo")
		}, "jo", "bo")
	}
}

// TestRefusedCredential: the next takes over; the first is tried again a minute later, and
// at once where no other works.
func TestRefusedCredential(t *testing.T) {
	for name, basic := range map[string]bool{"token": false, "basic": true} {
		t.Run(name, func(t *testing.T) {
			meets(t, func(t *testing.T, hub *club, c *upstream.Client) {
				hub.basic = basic
				hub.change("jo", func(m *member) { m.word = "other" })
				for range 3 {
					fetch(t, c, manifest("a", "1"))
				}
				hub.mu.Lock()
				if n := strings.Count(strings.Join(hub.asked, ","), "jo"); n == 0 || n > 2 {
					t.Errorf("asked %q", hub.asked)
				}
				hub.asked = nil
				hub.mu.Unlock()

				hub.change("bo", func(m *member) { m.word = "other" })
				time.Sleep(time.Second)
				for range 2 {
					e := refused(t, c, manifest("b", "1"))
					if e.Class != upstream.Refused || !strings.Contains(e.Message, "login refused; check username and password of credential ") {
						t.Errorf("%v: %v", e.Class, e)
					}
				}
				hub.change("jo", func(m *member) { m.word = "jo-word" }) // mended
				fetch(t, c, manifest("b", "1"))
				hub.change("bo", func(m *member) { m.word = "bo-word" })
				fetch(t, c, manifest("b", "1"))
				hub.asked = nil
				fetch(t, c, manifest("b", "1"))
				hub.want(t, "GET jo")
			}, "jo", "bo")
		})
	}
}

// What a credential in good order says is the answer: the next is not asked.
func TestAnswersAreNotSoughtElsewhere(t *testing.T) {
	for status, class := range map[int]upstream.Class{404: upstream.NotHere, 403: upstream.Denied, 503: upstream.Unavailable} {
		meets(t, func(t *testing.T, hub *club, c *upstream.Client) {
			fetch(t, c, manifest("a", "1"))
			hub.change("jo", func(m *member) { m.status = status })
			if e := refused(t, c, manifest("b", "1")); e.Class != class {
				t.Errorf("%d: %v", status, e.Class)
			}
			hub.mu.Lock()
			defer hub.mu.Unlock()
			if strings.Contains(strings.Join(hub.asked, ","), "bo") {
				t.Errorf("%d: asked %q", status, hub.asked)
			}
		}, "jo", "bo")
	}
}

// TestBrokenStandIn: who comes in place of one without pulls and is refused does not make it
// a matter of logins, which the pulls' end would outlast.
func TestBrokenStandIn(t *testing.T) {
	meets(t, func(t *testing.T, hub *club, c *upstream.Client) {
		hub.exhaust("jo")
		hub.change("bo", func(m *member) { m.word = "other" })
		refused(t, c, manifest("a", "1"))
		time.Sleep(10 * time.Minute)
		e := refused(t, c, manifest("a", "1"))
		if e.Class != upstream.Limited || e.Limit != upstream.PullLimit || e.RetryAfter != 50*time.Minute ||
			e.Message != "r.example.com: login refused; check username and password of credential 2 of upstream hub; others have no pulls left for another 50m0s" {
			t.Errorf("%v %v for %s: %v", e.Class, e.Limit, e.RetryAfter, e)
		}
	}, "jo", "bo")
}

// A login that cannot be looked up is one that does not work.
func TestNextCredentialAfterALookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, n, p := newClub("jo", "bo"), upstreamtest.NewNetwork(t), &place{}
		c := newClient(t, n.Serve("https://r.example.com", hub), on(n), func(cfg *upstream.Config) {
			cfg.Credentials = []upstream.Credential{upstream.Lookup("ecr", p.look), upstream.Password("bo", "bo-word")}
		})
		p.fails("away")
		fetch(t, c, manifest("a", "1"))
		hub.want(t, "GET", "token bo", "GET bo")
		p.has("jo-word", time.Hour)
		time.Sleep(time.Minute)
		fetch(t, c, manifest("a", "1"))
		hub.want(t, "token jo", "GET jo")
	})
}

// TestAccountsAreTold in the metrics, in the log, each change once, and to who asks. The
// limit that is exported is that of the account in use.
func TestAccountsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, n := newClub("jo", "bo"), upstreamtest.NewNetwork(t)
		hub.members["jo"].left, hub.members["bo"].left = "0", "77"
		registry, log := prometheus.NewPedanticRegistry(), &bytes.Buffer{}
		c := newClient(t, n.Serve("https://r.example.com", hub), on(n), func(cfg *upstream.Config) {
			cfg.Credentials = []upstream.Credential{upstream.Password("jo", "jo-word"), upstream.Password("bo", "bo-word")}
			cfg.Metrics, cfg.Logger = upstream.NewMetrics(registry), slog.New(slog.NewTextHandler(log, nil))
		})
		want := func(first, second upstream.Standing, until time.Time) {
			t.Helper()
			wanted := []upstream.Account{{Kind: "password", Username: "jo", Standing: first, Until: until}, {Kind: "password", Username: "bo", Standing: second}}
			if diff := cmp.Diff(wanted, c.Accounts()); diff != "" {
				t.Error(diff)
			}
			if err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(
				"# HELP berth_upstream_credential_state How the credentials of an upstream were when it was last asked, by their place in the configuration from 1: 0 ready (the first of those is in use), 1 no pulls left, 2 refused or not to be looked up.\n"+
					"# TYPE berth_upstream_credential_state gauge\nberth_upstream_credential_state{credential=\"1\",upstream=\"hub\"} %d\nberth_upstream_credential_state{credential=\"2\",upstream=\"hub\"} %d\n",
				first, second)), "berth_upstream_credential_state"); err != nil {
				t.Error(err)
			}
		}
		hub.exhaust("jo")
		fetch(t, c, manifest("a", "1"))
		fetch(t, c, manifest("a", "1"))
		fetch(t, c, head("a", "1"))
		want(upstream.Exhausted, upstream.Ready, time.Now().Add(time.Hour))
		if l, ok := c.RateLimit(); !ok || l.Remaining != 77 {
			t.Errorf("limit %+v", l)
		}
		hub.change("jo", func(m *member) { m.status, m.word = 0, "other" })
		time.Sleep(time.Hour)
		fetch(t, c, manifest("b", "1"))
		want(upstream.Broken, upstream.Ready, time.Now().Add(time.Minute))
		hub.change("jo", func(m *member) { m.word = "jo-word" })
		time.Sleep(time.Minute)
		fetch(t, c, manifest("b", "1"))
		want(upstream.Ready, upstream.Ready, time.Time{})
		for text, n := range map[string]int{"credential cannot be used, the next one takes over": 2, "credential=1 standing=exhausted": 1, "credential=1 standing=broken": 1, "credential is used again": 2} {
			if got := strings.Count(log.String(), text); got != n {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, got, n, log)
			}
		}
	})
}

// TestManyWhileOneIsExhausted: nobody fails, and the first is asked by few.
func TestManyWhileOneIsExhausted(t *testing.T) {
	meets(t, func(t *testing.T, hub *club, c *upstream.Client) {
		hub.exhaust("jo")
		for range 3 {
			for _, err := range together(t, 50, c) {
				if err != nil {
					t.Error(err)
				}
			}
		}
		hub.mu.Lock()
		defer hub.mu.Unlock()
		if n := strings.Count(strings.Join(hub.asked, ","), "GET jo"); n > 50 {
			t.Errorf("%d pulls for an account without any left", n)
		}
	}, "jo", "bo")
}

func TestFingerprintIsOfTheFirst(t *testing.T) {
	of := func(all ...upstream.Credential) string {
		return newClient(t, "http://127.0.0.1:1", func(cfg *upstream.Config) { cfg.Credentials = all }).Fingerprint()
	}
	jo, bo := upstream.Password("jo", "1"), upstream.Password("bo", "2")
	if of(jo) != of(jo, bo) || of(jo, bo) == of(bo, jo) || of(jo) == of() {
		t.Error("what is held belongs to somebody else")
	}
	err := tryClient(t, "http://127.0.0.1:1", func(cfg *upstream.Config) {
		cfg.Credentials = []upstream.Credential{jo, upstream.DockerConfig("c", "{}")}
	})
	if !errors.Is(err, upstream.ErrConfig) {
		t.Error(err)
	}
}

package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// login is a row of the decision table's part about logins: of two upstreams, both have
// the repository "app" but the first does not let us have it.
type login struct {
	name           string
	user, password string // ours
	set            func(hub *upstreamtest.Registry)
	asked          []string
	// next: it counts as "not here for us"; else the credential counts as broken.
	next bool
	// forgotten: it is not remembered.
	forgotten bool
}

const (
	askApp   = "GET manifest app:1"
	tokenApp = "GET token repository:app:pull"
)

func logins() []login {
	tokens := func(user, password string) func(*upstreamtest.Registry) {
		return func(hub *upstreamtest.Registry) {
			hub.RequireToken(user, password)
			hub.MissingAs401(true)
		}
	}
	guarded := func(status int) func(*upstreamtest.Registry) {
		return func(hub *upstreamtest.Registry) {
			hub.RequireToken("", "")
			hub.RefuseMissing(status)
		}
	}
	guardedFor := func(status int) func(*upstreamtest.Registry) {
		return func(hub *upstreamtest.Registry) {
			hub.RequireToken("me", "secret")
			hub.RefuseMissing(status)
		}
	}
	failing := func(f upstreamtest.Fault) func(*upstreamtest.Registry) {
		return func(hub *upstreamtest.Registry) { hub.Fail(nil, f) }
	}
	basic := func(hub *upstreamtest.Registry) { hub.RequireBasic("me", "secret") }
	return []login{
		{name: "no login, missing looks like 401", set: tokens("", ""), asked: []string{askApp, tokenApp, askApp}, next: true},
		{name: "no login, no token for it: 403", set: guarded(403), asked: []string{askApp, tokenApp}, next: true},
		{name: "no login, no token for it: 401", set: guarded(401), asked: []string{askApp, tokenApp}, next: true},
		{name: "no login where one is required", set: tokens("me", "secret"), asked: []string{askApp, tokenApp}, next: true},
		{name: "no login where Basic is required", set: basic, asked: []string{askApp}, next: true},
		{name: "no login, plain 403", set: failing(refusal(403, "DENIED")), asked: []string{askApp}, next: true},
		{name: "no login, 401 with a web page", set: failing(page(401)), asked: []string{askApp}, next: true, forgotten: true},
		{
			name: "good login, missing looks like 401", user: "me", password: "secret", set: tokens("me", "secret"),
			asked: []string{askApp, tokenApp, askApp}, next: true,
		},
		{
			name: "good login, no token for it: 403", user: "me", password: "secret", set: guardedFor(403),
			asked: []string{askApp, tokenApp, "GET token -"}, next: true,
		},
		{
			name: "token service refuses the login", user: "me", password: "old", set: tokens("me", "secret"),
			asked: []string{askApp, tokenApp, "GET token -"},
		},
		{name: "Basic refused", user: "me", password: "old", set: basic, asked: []string{askApp, askApp}},
	}
}

func TestLogins(t *testing.T) {
	for _, row := range logins() {
		timeless(t, row.name, row.test)
	}
}

func (row login) test(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub", user: row.user, password: row.password}, {name: "other"}}})
	row.set(r.hubs["hub"])
	one := r.hubs["other"].AddImage("app", "1", []byte("one"))
	r.hubs["other"].AddImage("app", "2", []byte("two"))
	a := r.get(manifestPath("app", "1"))
	r.asked("hub", row.asked...)
	if !row.next {
		r.tells(a, told{Status: 502, Code: "UNAVAILABLE", CacheStatus: "berth; fwd=miss; detail=refused"})
		r.asked("other")
		r.get(manifestPath("app", "1"))
		if r.hubs["hub"].Count("") == 0 {
			t.Error("the refusal was remembered: a mended login would not be tried")
		}
		return
	}
	r.tells(a, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
	r.is(a, one)
	r.tells(r.get(manifestPath("app", "1")+"?ns=hub.test"), told{Status: 403, Code: "DENIED", CacheStatus: "berth; fwd=miss; detail=denied"})
	r.hubs["hub"].Reset()
	r.get(manifestPath("app", "2"))
	if asked := r.hubs["hub"].Count("") > 0; asked != row.forgotten {
		t.Errorf("another tag of the repository was asked for: %t, want %t", asked, row.forgotten)
	}
	time.Sleep(time.Minute)
	r.hubs["hub"].Reset()
	r.get(manifestPath("app", "3"))
	if r.hubs["hub"].Count("") == 0 {
		t.Error("not asked again after negative_validity")
	}
}

// A repository that was ours to read does not move elsewhere because it is refused now.
func TestRefusalOfAKnownRepository(t *testing.T) {
	for name, user := range map[string]string{"good login": "me", "no login": ""} {
		timeless(t, name, func(t *testing.T) {
			password := strings.Repeat("secret", len(user)/2)
			r := newRig(t, plan{upstreams: []far{{name: "hub", user: user, password: password, change: everyTime}, {name: "other"}}})
			hub := r.hubs["hub"]
			hub.RequireToken(user, password)
			hub.MissingAs401(true)
			image := hub.AddImage("app", "1", []byte("layer"))
			r.hubs["other"].AddImage("app", "1", []byte("a stranger's"))
			r.hubs["other"].AddImage("app", "2", []byte("a stranger's"))
			r.pulled(manifestPath("app", "1"), image.Manifest)
			hub.RemoveRepository("app")
			time.Sleep(time.Hour)
			r.restart()
			a := r.get(manifestPath("app", "1"))
			r.tells(a, told{Status: 200, CacheStatus: "berth; hit; fwd=stale; detail=credential-refused", Age: "3600", Warning: warning("3600", "credential-refused")})
			r.is(a, image)
			r.tells(r.get(manifestPath("app", "2")), told{Status: 502, Code: "UNAVAILABLE", CacheStatus: "berth; fwd=miss; detail=refused"})
			r.asked("other")
		})
	}
}

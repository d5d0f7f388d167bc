package upstreamtest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenPaths are where token services are, each kind at its own.
var tokenPaths = map[string]bool{
	tokenPath: true, "/v2/auth": true, "/token/": true, "/v2/token": true, "/oauth2/token": true, "/jwt/auth": true,
}

const (
	tokenPath = "/token"
	// service is what the challenge names.
	service = "registry.test"
	// defaultLifetime is how long a token lasts when the answer does not say.
	defaultLifetime = 60 * time.Second
)

// auth is who may come in. The zero value lets everybody in.
type auth struct {
	scheme         string // "", "Bearer" or "Basic"
	user, password string
	since          time.Time // when they were set
	realm, service string
	challenge      string
	lifetime       time.Duration
	issued         int
	tokens         map[string]token
}

type token struct {
	scope   string
	expires time.Time
	member  bool // given to who logged in
}

// RequireToken makes every request need a token of the token service, which is at /token
// of the same host. With an empty user it gives tokens to anybody, but refuses a wrong
// login; otherwise only to that user. Calling it again changes the login and leaves
// tokens valid.
func (r *Registry) RequireToken(user, password string) {
	r.login(func(a *auth) { a.scheme, a.user, a.password = "Bearer", user, password })
}

// RequireBasic makes every request need this login.
func (r *Registry) RequireBasic(user, password string) {
	r.login(func(a *auth) { a.scheme, a.user, a.password = "Basic", user, password })
}

// Login makes every request need this login, or a token for it, in the way that the
// registry has already. Calling it again changes the login and leaves tokens valid.
func (r *Registry) Login(user, password string) {
	r.login(func(a *auth) { a.user, a.password, a.since = user, password, time.Now() })
}

// TokenLifetime sets what the token service says in expires_in. Zero leaves it out; such
// tokens last 60 seconds.
func (r *Registry) TokenLifetime(d time.Duration) { r.login(func(a *auth) { a.lifetime = d }) }

// ExpireTokens makes all tokens given so far bad.
func (r *Registry) ExpireTokens() { r.login(func(a *auth) { a.tokens = nil }) }

// Realm makes the challenge name another token service than the registry's own.
func (r *Registry) Realm(url string) { r.login(func(a *auth) { a.realm = url }) }

// Challenge replaces the whole WWW-Authenticate header; empty ends it.
func (r *Registry) Challenge(header string) { r.login(func(a *auth) { a.challenge = header }) }

// RefuseMissing makes the token service answer with status for a repository that does
// not exist, as GHCR does with 403; zero ends it.
func (r *Registry) RefuseMissing(status int) {
	r.set(func(s *switches) { s.anonymous.token, s.member.token = status, status })
}

func (r *Registry) login(change func(*auth)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.auth)
}

// visitor is who sends a request.
type visitor struct {
	// in: the registry lets it in. member: it is logged in. stale: its token or password was
	// good once.
	in, member, stale bool
}

func (v visitor) sees(set switches) hidden {
	if v.member {
		return set.member
	}
	return set.anonymous
}

// challenge answers a request that lacks what the registry requires, or that is for a
// repository whose absence is hidden.
func (r *Registry) challenge(w http.ResponseWriter, q *http.Request, op operation) bool {
	v, set := r.visitor(q, op), r.setting()
	hide := 0
	if op.repository != "" && !r.exists(op.repository) {
		hide = v.sees(set).resource
	}
	switch {
	case v.stale && set.stale != 0:
		refuse(w, set.stale, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
	case !v.in, hide == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", r.challengeFor(q, op))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	case hide != 0:
		refuse(w, hide, "DENIED", "Unauthenticated request. Permission denied on resource (or it may not exist).")
	default:
		return false
	}
	return true
}

func (r *Registry) visitor(q *http.Request, op operation) visitor {
	lapse := r.setting().lapse
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.auth.scheme {
	case "Basic":
		user, password, ok := q.BasicAuth()
		known := ok && user == r.auth.user && password == r.auth.password
		stale := known && lapse > 0 && time.Since(r.auth.since) >= lapse
		return visitor{in: known && !stale, member: known, stale: stale}
	case "Bearer":
		value, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
		t, known := r.auth.tokens[value]
		stale := ok && (!known || !time.Now().Before(t.expires))
		in := ok && !stale && (op.repository == "" || slices.Contains(strings.Fields(t.scope), scopeOf(op.repository)))
		return visitor{in: in, member: t.member, stale: stale}
	default:
		return visitor{in: true}
	}
}

func (r *Registry) challengeFor(q *http.Request, op operation) string {
	scope := ""
	if op.repository != "" {
		scope = scopeOf(op.repository)
	} else if op.reference == pingPath {
		scope = r.setting().pingScope
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auth.challenge != "" {
		return r.auth.challenge
	}
	name, realm := cmp.Or(r.auth.service, service), r.auth.realm
	if r.auth.scheme == "Basic" {
		return fmt.Sprintf(`Basic realm=%q,service=%q`, cmp.Or(realm, name), name)
	}
	if realm == "" {
		realm = "http://" + q.Host + tokenPath
		if q.TLS != nil {
			realm = "https://" + q.Host + tokenPath
		}
	}
	c := fmt.Sprintf(`Bearer realm=%q,service=%q`, realm, name)
	if scope != "" {
		c += fmt.Sprintf(`,scope=%q`, scope)
	}
	return c
}

func scopeOf(repo string) string { return "repository:" + repo + ":pull" }

// serveToken is the token service.
func (r *Registry) serveToken(w http.ResponseWriter, q *http.Request) {
	scope := strings.Join(q.URL.Query()["scope"], " ")
	if status := r.tokenStatus(q, scope); status != http.StatusOK {
		refuse(w, status, "DENIED", "requested access to the resource is denied")
		return
	}
	_, _, member := q.BasicAuth()
	r.mu.Lock()
	a := &r.auth
	a.issued++
	body := map[string]any{"token": fmt.Sprintf("token-%d", a.issued)}
	lifetime := defaultLifetime
	if a.lifetime > 0 {
		lifetime = a.lifetime
		body["expires_in"] = int(lifetime / time.Second)
	}
	if a.tokens == nil {
		a.tokens = map[string]token{}
	}
	a.tokens[fmt.Sprintf("token-%d", a.issued)] = token{scope: scope, expires: time.Now().Add(lifetime), member: member}
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	reply(w, q, r.marshal(body))
}

// tokenStatus is what the token service answers.
func (r *Registry) tokenStatus(q *http.Request, scope string) int {
	set := r.setting()
	user, password, member := q.BasicAuth()
	hide := 0
	name := strings.TrimSuffix(strings.TrimPrefix(scope, "repository:"), ":pull")
	if scope != "" && !r.exists(name) {
		hide = visitor{member: member}.sees(set).token
	}
	r.mu.Lock()
	a := r.auth
	r.mu.Unlock()
	switch {
	case q.Method == http.MethodPost && set.tokenPost != 0:
		return set.tokenPost
	case !member && a.user != "", member && (user != a.user || password != a.password):
		return http.StatusUnauthorized
	case !member && scope == "" && set.scopeless != 0:
		return set.scopeless
	case hide != 0:
		return hide
	default:
		return http.StatusOK
	}
}

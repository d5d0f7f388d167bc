package upstreamtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

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
	realm          string
	challenge      string
	refuseMissing  int
	lifetime       time.Duration
	issued         int
	tokens         map[string]token
}

type token struct {
	scope   string
	expires time.Time
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
func (r *Registry) RefuseMissing(status int) { r.login(func(a *auth) { a.refuseMissing = status }) }

func (r *Registry) login(change func(*auth)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.auth)
}

// challenge answers 401 if the request lacks what the registry requires, or if the
// repository is missing and that is to look the same.
func (r *Registry) challenge(w http.ResponseWriter, q *http.Request, op operation) bool {
	missing := op.repository != "" && r.setting().missingAs401 && !r.exists(op.repository)
	if !missing && r.admits(q, op) {
		return false
	}
	w.Header().Set("WWW-Authenticate", r.challengeFor(q, op))
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return true
}

func (r *Registry) admits(q *http.Request, op operation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.auth.scheme {
	case "Basic":
		user, password, ok := q.BasicAuth()
		return ok && user == r.auth.user && password == r.auth.password
	case "Bearer":
		value, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
		t, known := r.auth.tokens[value]
		return ok && known && time.Now().Before(t.expires) &&
			(op.repository == "" || slices.Contains(strings.Fields(t.scope), scopeOf(op.repository)))
	default:
		return true
	}
}

func (r *Registry) challengeFor(q *http.Request, op operation) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auth.challenge != "" {
		return r.auth.challenge
	}
	if r.auth.scheme == "Basic" {
		return `Basic realm="` + service + `"`
	}
	realm := r.auth.realm
	if realm == "" {
		realm = "http://" + q.Host + tokenPath
		if q.TLS != nil {
			realm = "https://" + q.Host + tokenPath
		}
	}
	c := fmt.Sprintf(`Bearer realm=%q,service=%q`, realm, service)
	if op.repository != "" {
		c += fmt.Sprintf(`,scope=%q`, scopeOf(op.repository))
	}
	return c
}

func scopeOf(repo string) string { return "repository:" + repo + ":pull" }

// serveToken is the token service.
func (r *Registry) serveToken(w http.ResponseWriter, q *http.Request) {
	scope := strings.Join(q.URL.Query()["scope"], " ")
	name := strings.TrimSuffix(strings.TrimPrefix(scope, "repository:"), ":pull")
	missing := scope != "" && !r.exists(name)
	user, password, has := q.BasicAuth()

	r.mu.Lock()
	a := &r.auth
	status := http.StatusOK
	switch {
	case !has && a.user != "", has && (user != a.user || password != a.password):
		status = http.StatusUnauthorized
	case missing && a.refuseMissing != 0:
		status = a.refuseMissing
	}
	body := map[string]any{}
	if status == http.StatusOK {
		a.issued++
		value := fmt.Sprintf("token-%d", a.issued)
		lifetime := defaultLifetime
		if a.lifetime > 0 {
			lifetime = a.lifetime
			body["expires_in"] = int(lifetime / time.Second)
		}
		if a.tokens == nil {
			a.tokens = map[string]token{}
		}
		a.tokens[value] = token{scope: scope, expires: time.Now().Add(lifetime)}
		body["token"] = value
	}
	r.mu.Unlock()

	if status != http.StatusOK {
		refuse(w, status, "DENIED", "requested access to the resource is denied")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, q, r.marshal(body))
}

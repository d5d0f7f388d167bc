package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// goodFor is how long a credential counts as good after it worked.
const goodFor = 5 * time.Minute

// scheme is how the upstream wants to be logged in to, as its last challenge said.
type scheme struct {
	basic   bool
	realm   *url.URL // of the token service; nil with basic
	service string
}

// keyring holds what the Client knows about logging in with one credential: the tokens, and
// when it last worked.
type keyring struct {
	client *Client
	source *source // nil is anonymous
	lookup *lookup // of what the source finds; nil where that is fixed
	// ctx ends with the Client; errands run in it, not in that of whoever came first.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// mu guards everything below.
	mu      sync.Mutex
	closed  bool
	grants  map[grantKey]grant
	errands map[errandKey]*errand
	count   uint64 // errands so far
	// goodAt is when something last worked that needed the credential; lastGood is the
	// repository that last worked with a token.
	goodAt   time.Time
	lastGood string
}

func newKeyring(c *Client, credential Credential) (*keyring, error) {
	k := &keyring{client: c, grants: map[grantKey]grant{}, errands: map[errandKey]*errand{}}
	if credential.source != nil {
		var err error
		if k.source, err = credential.source(c); err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrConfig, c.cfg.Name, err)
		}
		if k.source.fixed != nil {
			c.secrets.add(k, *k.source.fixed)
		} else {
			k.lookup = &lookup{keys: k}
		}
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k, nil
}

// errandFor runs f in the Client's time, and returns false if that is over.
func (k *keyring) errandFor(f func(ctx context.Context)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.wg.Go(func() { f(k.ctx) })
	return true
}

func (k *keyring) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.wg.Wait()
}

// login is what a request carries. The zero value is nothing.
type login struct {
	header string
	grant  grant            // zero unless it is a token
	secret authn.AuthConfig // zero unless it is that itself
}

// fresh says that the token was asked for after mark was taken, so that another would
// be no better.
func (l login) fresh(mark uint64) bool { return l.grant.errand > mark }

// expired says that the token has expired since it was chosen, in a queue: that it is
// refused says nothing.
func (l login) expired() bool { return l.grant.value != "" && time.Now().After(l.grant.expires) }

// mark is a point in the order of questions to the token service.
func (k *keyring) mark() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// login returns what a request for repository has to carry, as far as is known.
func (k *keyring) login(ctx context.Context, repository string) (login, error) {
	s, closed := k.known()
	switch {
	case closed:
		return login{}, ErrClosed
	case s == nil:
		return login{}, nil
	case s.basic:
		return k.basic(ctx)
	}
	g, err := k.grant(ctx, *s, scopeOf(repository), repository)
	if err != nil {
		return login{}, err
	}
	return login{header: "Bearer " + g.value, grant: g}, nil
}

// basic is the credential itself as a login.
func (k *keyring) basic(ctx context.Context) (login, error) {
	secret, err := k.secret(ctx)
	return login{header: basicOf(secret), secret: secret}, err
}

// learn takes in the challenge of an answer to a request for repository, and returns
// the login that answers it. A false says that there is nothing to answer it with.
func (k *keyring) learn(ctx context.Context, h http.Header, repository string) (login, bool, error) {
	c, ok := pick(parseChallenges(h))
	if !ok {
		return login{}, false, nil
	}
	s := scheme{basic: c.scheme == "basic", service: c.params["service"]}
	if s.basic {
		k.client.scheme.Store(&s)
		l, err := k.basic(ctx)
		return l, l.header != "", err
	}
	realm, err := k.client.parseRealm(c.params["realm"])
	if err != nil {
		return login{}, false, err
	}
	s.realm = realm
	k.client.scheme.Store(&s)
	g, err := k.grant(ctx, s, scopeFrom(c.params["scope"], repository), repository)
	if err != nil {
		return login{}, false, err
	}
	return login{header: "Bearer " + g.value, grant: g}, true, nil
}

// again returns a login to try after an answer refused l, and false if there is none.
func (k *keyring) again(ctx context.Context, l login, repository string, h http.Header) (login, bool, error) {
	k.drop(l)
	if l.secret != (authn.AuthConfig{}) && k.renewed(ctx, l.secret) {
		next, err := k.basic(ctx)
		return next, next.header != "", err
	}
	next, ok, err := k.learn(ctx, h, repository)
	if err != nil || ok {
		return next, ok && next.header != l.header, err
	}
	if l.header == "" && !k.anonymous() {
		return k.introduce(ctx, repository)
	}
	if l.grant.value == "" {
		return login{}, false, nil
	}
	next, err = k.login(ctx, repository) // a 403 names no challenge; the token may be stale all the same
	return next, err == nil && next.header != "", err
}

// introduce is again after a request without a login that was turned away without a
// challenge: /v2/ has one, where anything does.
func (k *keyring) introduce(ctx context.Context, repository string) (login, bool, error) {
	resp, err := k.client.ping(ctx, "")
	if err != nil {
		return login{}, false, err
	}
	discard(resp)
	switch {
	case resp.StatusCode == http.StatusUnauthorized && sameOrigin(resp.Request.URL, k.client.base):
		return k.learn(ctx, resp.Header, repository)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= http.StatusInternalServerError:
		return login{}, false, fmt.Errorf("%w: /v2/ answered %d when it was asked how to log in", errAnswer, resp.StatusCode)
	}
	return login{}, false, nil
}

func (k *keyring) known() (*scheme, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client.scheme.Load(), k.closed
}

// worked notes that a request for repository succeeded with l.
func (k *keyring) worked(l login, repository string) {
	if l.header == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.goodAt = time.Now()
	if l.grant.value != "" {
		k.lastGood = repository
	}
}

// workedLately tells whether the credential worked not long ago.
func (k *keyring) workedLately() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.goodAt.IsZero() && time.Since(k.goodAt) < goodFor
}

// good asks whether the credential is good while repository is refused: whether the token
// service still gives a token for the repository that last worked. Where none has, it is
// asked what "docker login" asks, for a token without a scope. An error that is not a
// refusal says that nothing could be found out.
func (k *keyring) good(ctx context.Context, repository string) (bool, error) {
	k.mu.Lock()
	s := k.client.scheme.Load()
	if s == nil || s.basic {
		k.mu.Unlock()
		return false, nil
	}
	key := errandKey{grantKey: grantKey{realm: s.realm.String(), service: s.service}}
	if k.lastGood != "" && k.lastGood != repository {
		key.repository, key.scope = k.lastGood, scopeOf(k.lastGood)
	}
	e, err := k.errand(*s, key)
	k.mu.Unlock()
	if err != nil {
		return false, err
	}
	if _, err = e.wait(ctx); err == nil {
		return true, nil
	}
	if refused(err) {
		return false, nil
	}
	return false, err
}

// scopeOf is the scope that pulling needs.
func scopeOf(repository string) string { return "repository:" + repository + ":pull" }

// scopeFrom is the scope of a challenge if it asks for nothing but pulling repository,
// else our own: GHCR's names a placeholder, and more rights than needed are not wanted.
func scopeFrom(challenged, repository string) string {
	kind, rest, _ := strings.Cut(challenged, ":")
	if rest == repository+":pull" && strings.HasPrefix(kind, "repository") && !strings.ContainsAny(kind, " \t") {
		return challenged
	}
	return scopeOf(repository)
}

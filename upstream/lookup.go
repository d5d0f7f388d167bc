package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// lookupTimeout bounds one lookup of a login.
	lookupTimeout = 20 * time.Second
	// unknownExpiry is how long a login is used that does not say when it expires: such
	// come from programs that have caches of their own.
	unknownExpiry = 5 * time.Minute
	// maxRenewal is how long before its end a login is renewed at most: ECR's last 12 h.
	maxRenewal = 30 * time.Minute
	// firstPause is how long a lookup that failed is not repeated, which doubles up to
	// maxPause.
	firstPause = 5 * time.Second
	maxPause   = time.Minute
	// renewAfter is how old a login has to be for another lookup since it was refused.
	renewAfter = time.Minute
)

// lookupError says that a login could not be looked up.
type lookupError struct {
	kind string
	err  error
}

func (e *lookupError) Error() string { return "no login from " + e.kind + ": " + e.err.Error() }
func (e *lookupError) Unwrap() error { return e.err }

// lookup holds the login that was found last. One lookup at a time is under way; nobody
// waits for it who has a login that still lasts.
type lookup struct {
	keys *keyring

	mu      sync.Mutex // guards everything below
	held    *found
	at      time.Time // when it was found
	renewAt time.Time
	running chan struct{} // closed when the lookup under way is over; nil without one
	// failure is that of the last lookup, pause for how long none follows, until pausedTill.
	failure    error
	pause      time.Duration
	pausedTill time.Time
}

// get returns the login held, or that of a lookup. ctx bounds the wait alone.
func (l *lookup) get(ctx context.Context) (authn.AuthConfig, error) {
	l.mu.Lock()
	now := time.Now()
	if l.held == nil || !now.Before(l.renewAt) {
		l.start(now)
	}
	if login, ok := l.lasting(now); ok {
		l.mu.Unlock()
		return login, nil
	}
	running := l.running
	l.mu.Unlock()
	if err := wait(ctx, running); err != nil {
		return authn.AuthConfig{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if login, ok := l.lasting(time.Now()); ok {
		return login, nil
	}
	return authn.AuthConfig{}, l.failure
}

// lasting is the login held, unless it has expired. l.mu is held.
func (l *lookup) lasting(now time.Time) (authn.AuthConfig, bool) {
	if l.held == nil || !l.held.Expires.IsZero() && !now.Before(l.held.Expires) {
		return authn.AuthConfig{}, false
	}
	return l.held.login(), true
}

func (f found) login() authn.AuthConfig {
	return authn.AuthConfig{Username: f.Username, Password: f.Password, IdentityToken: f.IdentityToken}
}

func wait(ctx context.Context, running <-chan struct{}) error {
	if running == nil {
		return nil
	}
	select {
	case <-running:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a login: %w", context.Cause(ctx))
	}
}

// renew tells whether another login than used is held, after a lookup if used is not new.
func (l *lookup) renew(ctx context.Context, used authn.AuthConfig) bool {
	l.mu.Lock()
	now := time.Now()
	if l.held != nil && l.held.login() == used && now.Sub(l.at) >= renewAfter {
		l.start(now)
		running := l.running
		l.mu.Unlock()
		if wait(ctx, running) != nil {
			return false
		}
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	return l.held != nil && l.held.login() != used
}

// start begins a lookup, unless one is under way or has failed a moment ago. l.mu is held.
func (l *lookup) start(now time.Time) {
	if l.running != nil || now.Before(l.pausedTill) {
		return
	}
	done := make(chan struct{})
	if !l.keys.errandFor(func(ctx context.Context) { l.run(ctx, done) }) {
		l.failure = ErrClosed
		return
	}
	l.running = done
}

func (l *lookup) run(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	c, kind := l.keys.client, l.keys.source.kind
	f, err := l.keys.source.find(ctx)
	if err == nil && f.login() == (authn.AuthConfig{}) {
		err = errNoLogin
	}
	if err == nil && !f.Expires.IsZero() && !time.Now().Before(f.Expires) {
		err = errors.New("it has expired already")
	}
	if err != nil && ctx.Err() != nil {
		err = errors.New("no answer in time")
	}
	c.cfg.Metrics.lookup(c.cfg.Name, kind, err)
	if err != nil {
		err = &lookupError{kind, errors.New(c.harmless(err.Error()))} // foreign words
		c.log.Error("credential could not be looked up", "upstream", c.cfg.Name, "error", err)
	} else {
		c.secrets.add(l.keys, f.login())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.failure = err; err != nil {
		l.pause = min(max(2*l.pause, firstPause), maxPause)
		l.pausedTill = now.Add(l.pause/2 + rand.N(l.pause/2))
	} else {
		l.held, l.at, l.pause = &f, now, 0
		l.renewAt = now.Add(untilRenewal(f.Expires, now))
	}
	l.running = nil
	close(done)
}

// untilRenewal is when to ask again: between once and twice the margin before the end, so
// that many upstreams, and replicas, do not do it together.
func untilRenewal(expires, now time.Time) time.Duration {
	if expires.IsZero() {
		return unknownExpiry/2 + rand.N(unknownExpiry/2)
	}
	left := max(expires.Sub(now), 0)
	margin := min(left/10, maxRenewal) + 1
	return left - margin - rand.N(margin)
}

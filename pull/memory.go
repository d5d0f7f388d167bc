package pull

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// absences remembers for a while, in this process, what upstreams said is not there.
type absences struct {
	known *otter.Cache[string, absence]
}

// absence is one "not here" and the words it came with.
type absence struct {
	until time.Time
	// denied: it may well exist, but not for us.
	denied bool
	said   string
	epoch  int // of the upstream's client that it was said to
}

func newAbsences() *absences {
	// 100,000 is more than a fleet misspells in a minute, and about 30 MiB.
	return &absences{known: otter.Must(&otter.Options[string, absence]{MaximumSize: 100_000})}
}

func (a *absences) close() { a.known.StopAllGoroutines() }

func (a *absences) repository(u *catalog.Upstream, repository string) (absence, bool) {
	return a.find(u, u.ID+"|"+repository)
}

func (a *absences) tag(u *catalog.Upstream, repository, tag string) (absence, bool) {
	if tag == "" {
		return absence{}, false
	}
	return a.find(u, u.ID+"|"+repository+"|"+tag)
}

func (a *absences) find(u *catalog.Upstream, key string) (absence, bool) {
	found, ok := a.known.GetIfPresent(key)
	return found, ok && time.Now().Before(found.until) && (!found.denied || found.epoch == u.Epoch)
}

// learn remembers that u does not have the repository or, when tag is given, the tag.
func (a *absences) learn(u *catalog.Upstream, repository, tag string, what absence) {
	if u.NegativeValidity <= 0 {
		return
	}
	key := u.ID + "|" + repository
	if tag != "" {
		key += "|" + tag
	}
	what.epoch = u.Epoch
	what.until = later(time.Now(), u.NegativeValidity)
	a.known.Set(key, what)
}

// forget drops what is disproved by an answer from u.
func (a *absences) forget(u *catalog.Upstream, repository, tag string) {
	a.known.Invalidate(u.ID + "|" + repository)
	if tag != "" {
		a.known.Invalidate(u.ID + "|" + repository + "|" + tag)
	}
}

// later is t+d, where d may be for ever.
func later(t time.Time, d time.Duration) time.Time {
	if d == catalog.Forever {
		d = 100 * 365 * 24 * time.Hour
	}
	return t.Add(d)
}

// limits remembers which upstreams asked to be left alone, and until when: altogether, or
// with pulls.
type limits struct {
	mu    sync.Mutex // guards both
	until map[client]time.Time
	pulls map[client]time.Time
}

// client is who was asked to leave an upstream alone. Another may have another account,
// another address or another way there.
type client struct {
	upstream string
	epoch    int
}

func clientOf(u *catalog.Upstream) client { return client{u.ID, u.Epoch} }

func newLimits() *limits {
	return &limits{until: map[client]time.Time{}, pulls: map[client]time.Time{}}
}

func (l *limits) learn(u *catalog.Upstream, what upstream.Limit, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.until
	if what == upstream.PullLimit {
		known = l.pulls
	}
	now := time.Now()
	maps.DeleteFunc(known, func(_ client, until time.Time) bool { return !until.After(now) })
	known[clientOf(u)] = now.Add(wait)
}

// left is how long u still wants to be left alone; zero or less: not at all.
func (l *limits) left(u *catalog.Upstream) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return remaining(l.until, u)
}

// pull is how long u does not want to be pulled from: that is what GETs of manifests are.
func (l *limits) pull(u *catalog.Upstream, r upstream.Request) time.Duration {
	if !r.IsPull() {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return remaining(l.pulls, u)
}

func remaining(known map[client]time.Time, u *catalog.Upstream) time.Duration {
	until, ok := known[clientOf(u)]
	if !ok {
		return 0
	}
	return time.Until(until)
}

// limited is the answer of an upstream that is not asked, since it wants to be left alone.
func limited(u *catalog.Upstream, what upstream.Limit, wait time.Duration) *upstream.Error {
	e := &upstream.Error{Upstream: u.Name, Class: upstream.Limited, Limit: what, RetryAfter: wait}
	e.Message = fmt.Sprintf("asked to be left alone for another %s", wait.Round(time.Second))
	if what == upstream.PullLimit {
		e.Message = fmt.Sprintf("has no pulls left for another %s", wait.Round(time.Second))
	}
	return e
}

package pull

import (
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/berth-cache/berth/catalog"
)

// absences remembers for a while, in this process, what upstreams said is not there.
type absences struct {
	until *otter.Cache[string, time.Time]
}

func newAbsences() *absences {
	// 100,000 is more than a fleet misspells in a minute, and about 20 MiB.
	return &absences{until: otter.Must(&otter.Options[string, time.Time]{MaximumSize: 100_000})}
}

func (a *absences) close() { a.until.StopAllGoroutines() }

func (a *absences) repository(u *catalog.Upstream, repository string) bool {
	return a.has(u.ID + "|" + repository)
}

func (a *absences) tag(u *catalog.Upstream, repository, tag string) bool {
	return a.has(u.ID + "|" + repository + "|" + tag)
}

func (a *absences) has(key string) bool {
	until, ok := a.until.GetIfPresent(key)
	return ok && time.Now().Before(until)
}

// learn remembers that u does not have the repository or, when tag is given, the tag.
func (a *absences) learn(u *catalog.Upstream, repository, tag string) {
	if u.NegativeValidity <= 0 {
		return
	}
	key := u.ID + "|" + repository
	if tag != "" {
		key += "|" + tag
	}
	a.until.Set(key, later(time.Now(), u.NegativeValidity))
}

// forget drops what is disproved by an answer from u.
func (a *absences) forget(u *catalog.Upstream, repository, tag string) {
	a.until.Invalidate(u.ID + "|" + repository)
	if tag != "" {
		a.until.Invalidate(u.ID + "|" + repository + "|" + tag)
	}
}

// later is t+d, where d may be for ever.
func later(t time.Time, d time.Duration) time.Time {
	if d == catalog.Forever {
		d = 100 * 365 * 24 * time.Hour
	}
	return t.Add(d)
}

// limits remembers which upstreams asked to be left alone, and until when.
type limits struct {
	mu    sync.Mutex // guards until
	until map[string]time.Time
}

func newLimits() *limits { return &limits{until: map[string]time.Time{}} }

func (l *limits) learn(u *catalog.Upstream, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until[u.ID] = time.Now().Add(wait)
}

// left is how long u still wants to be left alone; zero or less: not at all.
func (l *limits) left(u *catalog.Upstream) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.until[u.ID]
	if !ok {
		return 0
	}
	return time.Until(until)
}

package upstream

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// enough is the weight of failures in a row that takes a host for down. A broken
	// connection weighs more than a 5xx, which may be about one repository.
	enough       = 10
	weightBroken = 2
	weightFault  = 1
	// slowAfter is how long a host may answer nobody before it is ailing.
	slowAfter = 4 * time.Second
	// firstRest is how long a host that is down is left alone, which doubles up to maxRest
	// with each trial that fails.
	firstRest = time.Second
	maxRest   = 15 * time.Second
	// unasked is after how long what is known of a host that nobody asks is out of date.
	unasked = 2 * time.Minute
	// inARow is how far apart failures may be to be so.
	inARow = time.Minute
)

// ErrDown says that a host was not asked, since it is down.
var ErrDown = errors.New("not asked")

// breaker keeps requests from a host that does not answer. While it is down one request in
// a while is a trial; the others fail at once.
type breaker struct {
	host  string
	owner *breakers

	mu sync.Mutex // guards what is below
	// own: the host is that of the upstream itself. vital: manifests or tokens come from here,
	// not only blobs. asked is when somebody last meant to.
	own, vital bool
	asked      time.Time
	// failures is the weight of those in a row, since when the first of them began, last
	// when the last one ended.
	failures    int
	since, last time.Time
	reason      string
	// only is the repository that all failures in a row were 5xx for: of others nothing is
	// known. various: there is none.
	only    string
	various bool
	// answered is when the host last answered anybody.
	answered time.Time
	// slow and down are its state; rest and again are of down: how long it is left alone,
	// and until when.
	slow, down bool
	rest       time.Duration
	again      time.Time
	trial      *exchange
	// told is what the log knows of: nothing, slowness, or that it is down.
	told illness
	// running is how many requests have no answer yet.
	running int
}

// illness is how a host is, in the order of severity.
type illness int

const (
	isWell illness = iota
	isSlow
	isDown
)

// enter begins an exchange of a trip, or returns ErrDown. Who has a part of a blob already
// goes on.
func (b *breaker) enter(t trip) (*exchange, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refuse(t); err != nil {
		return nil, err
	}
	x := &exchange{breaker: b, began: time.Now(), about: t.repository, extra: t.alone}
	if b.down && !t.goesOn && b.concerns(t.repository) {
		b.trial = x
	}
	b.running++
	if !x.extra {
		x.timer = time.AfterFunc(slowAfter, x.late)
	}
	return x, nil
}

// concerns tells whether the failures say anything about a repository. mu is held.
func (b *breaker) concerns(repository string) bool {
	return b.various || b.only == "" || b.only == repository
}

// closed tells whether requests about a repository are not sent at the time now. mu is held.
func (b *breaker) closed(repository string, now time.Time) bool {
	return b.down && b.concerns(repository) && (b.trial != nil || b.again.After(now))
}

// look returns ErrDown for a trip that could not begin an exchange now.
func (b *breaker) look(t trip) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refuse(t)
}

// refuse is look. mu is held.
func (b *breaker) refuse(t trip) error {
	now := time.Now()
	b.vital, b.asked = b.vital || !t.aside, now
	if t.goesOn || !b.closed(t.repository, now) {
		return nil
	}
	b.owner.metrics.spared(b.owner.upstream)
	return fmt.Errorf("%w, it is down since %s: %s", ErrDown, b.since.UTC().Format(time.TimeOnly+" UTC"), b.reason)
}

// well is after an answer to x. One that was late in coming ends no slowness: the next would
// keep its clients waiting as long. mu is held.
func (b *breaker) well(x *exchange) {
	b.answered = time.Now()
	b.failures, b.only, b.various = 0, "", false
	if b.slow && !b.down && b.answered.Sub(x.began) >= slowAfter {
		return
	}
	if b.down || b.slow {
		was, told := b.since, b.told
		b.down, b.slow, b.told, b.trial, b.rest = false, false, isWell, nil, 0
		if told != isWell {
			b.owner.log.Info("upstream is well again", "upstream", b.owner.upstream, "host", b.host, "after", b.answered.Sub(was).Round(time.Millisecond))
		}
	}
	b.since = time.Time{}
}

// fail is after a failure of x. mu is held.
func (b *breaker) fail(x *exchange, weight int, reason string) {
	now := time.Now()
	if !b.down && !b.slow && now.Sub(b.last) > inARow {
		b.failures, b.since, b.only, b.various = 0, time.Time{}, "", false
	}
	b.last = now
	b.blame(x.began, reason)
	alone := weight == weightFault && x.about != "" && (b.failures == 0 || b.only == x.about)
	if b.various = b.various || !alone; !b.various {
		b.only = x.about
	}
	b.failures += weight
	switch {
	case b.trial == x:
		b.leave()
	case b.down && weight == enough: // somebody waited for long, in vain
		b.again = now.Add(b.rest)
	case !b.down && b.failures >= enough:
		b.down = true
		b.leave()
	}
	if b.illness() == isDown && b.told != isDown {
		b.tell(isDown, "upstream is down, it is asked now and then by one request")
	}
}

// blame notes why the host is ill, and since when. mu is held.
func (b *breaker) blame(began time.Time, reason string) {
	if b.since.IsZero() {
		b.since = began
	}
	b.reason = reason
}

// leave leaves the host alone for longer than the last time. mu is held.
func (b *breaker) leave() {
	b.rest = min(max(2*b.rest, firstRest), maxRest)
	b.again = time.Now().Add(b.rest)
	b.trial = nil
}

// illness is how the host is for all repositories. mu is held.
func (b *breaker) illness() illness {
	switch {
	case b.down && b.various:
		return isDown
	case b.slow:
		return isSlow
	}
	return isWell
}

// ill tells whether the host is, as far as that is not out of date: one that has moved away,
// or that nobody needs, may never be heard of again. mu is held.
func (b *breaker) ill() bool {
	return b.illness() != isWell && (b.running > 0 || time.Since(b.asked) < unasked)
}

func (b *breaker) condition() (c Condition, ill bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Condition{Host: b.host, Down: b.illness() == isDown, Since: b.since, Reason: b.reason}, b.ill()
}

// spares tells whether a request about a repository would not be sent now.
func (b *breaker) spares(repository string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed(repository, time.Now())
}

func (b *breaker) ailing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.vital && b.ill()
}

// dispensable tells whether what is known of the host may be forgotten, and since when
// nobody asked for it.
func (b *breaker) dispensable() (may bool, asked time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.own && b.running == 0, b.asked
}

// tell logs that the host is ill. mu is held.
func (b *breaker) tell(what illness, message string) {
	b.told = what
	b.owner.log.Warn(message, "upstream", b.owner.upstream, "host", b.host, "since", b.since, "reason", b.reason)
}

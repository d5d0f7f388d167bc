package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	// vital: manifests or tokens come from here, not only blobs.
	vital bool
	// failures is the weight of those in a row, since when the first of them began, last
	// when the last one ended.
	failures    int
	since, last time.Time
	reason      string
	// answered is when the host last answered anybody.
	answered time.Time
	// slow and down are its state; rest and again are of down: how long it is left alone,
	// and until when.
	slow, down bool
	rest       time.Duration
	again      time.Time
	trial      *exchange
	// running is how many requests have no answer yet.
	running int
}

// exchange is one request to a host, until its answer's header.
type exchange struct {
	breaker *breaker
	began   time.Time
	timer   *time.Timer
	// extra: over one connection more than it takes, which the host need not like.
	extra bool
}

// enter begins an exchange of a trip, or returns ErrDown. Who has a part of a blob already
// goes on.
func (b *breaker) enter(t trip) (*exchange, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.vital = b.vital || !t.blob
	x := &exchange{breaker: b, began: time.Now(), extra: t.alone}
	if b.down && !t.goesOn {
		if b.trial != nil || b.again.After(x.began) {
			b.owner.metrics.spared(b.owner.upstream)
			return nil, fmt.Errorf("%w, it is down since %s: %s", ErrDown, b.since.UTC().Format(time.TimeOnly+" UTC"), b.reason)
		}
		b.trial = x
	}
	b.running++
	x.timer = time.AfterFunc(slowAfter, x.late)
	return x, nil
}

// late is when an exchange has had no answer for a while.
func (x *exchange) late() {
	b := x.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.trial == x:
		b.leave()
	case !b.down && !b.slow && !b.answered.After(x.began):
		b.slow = true
		b.blame(x.began, "no answer in time")
		b.owner.tell(b, "upstream is slow, what is held is served without waiting for it")
	}
}

// end tells how the exchange ended: with an answer, or an error that is not ctx's.
func (x *exchange) end(ctx context.Context, resp *http.Response, err error, reason func(error) string) {
	b := x.breaker
	x.timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	_, refused := errors.AsType[*addressError](err)
	switch {
	case err == nil && !faulty(resp.StatusCode):
		b.well(x)
	case err == nil:
		b.answered = time.Now()
		b.fail(x, weightFault, fmt.Sprintf("answered %d", resp.StatusCode))
	case refused, x.extra, ctx.Err() != nil && time.Since(x.began) < slowAfter:
		// None says anything about the host.
		if b.trial == x {
			b.trial = nil
		}
	case time.Since(x.began) >= slowAfter:
		if b.trial == x || !b.answered.After(x.began) {
			b.fail(x, enough, reason(err))
		}
	default:
		b.fail(x, weightBroken, reason(err))
	}
}

// faulty says that an answer is the host's trouble.
func faulty(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// well is after an answer to x. mu is held, as in all below. One that was late in coming
// ends no slowness: the next would keep its clients waiting as long.
func (b *breaker) well(x *exchange) {
	b.answered = time.Now()
	b.failures = 0
	if b.slow && !b.down && b.answered.Sub(x.began) >= slowAfter {
		return
	}
	if b.down || b.slow {
		was := b.since
		b.down, b.slow, b.trial, b.rest = false, false, nil, 0
		b.owner.metrics.ill(b.owner.upstream, b.host, 0)
		b.owner.log.Info("upstream is well again", "upstream", b.owner.upstream, "host", b.host, "after", b.answered.Sub(was).Round(time.Millisecond))
	}
	b.since = time.Time{}
}

// fail is after a failure of x.
func (b *breaker) fail(x *exchange, weight int, reason string) {
	now := time.Now()
	if !b.down && !b.slow && now.Sub(b.last) > inARow {
		b.failures, b.since = 0, time.Time{}
	}
	b.last = now
	b.blame(x.began, reason)
	b.failures += weight
	switch {
	case b.trial == x:
		b.leave()
	case b.down && weight == enough: // somebody waited for long, in vain
		b.again = now.Add(b.rest)
	case !b.down && b.failures >= enough:
		b.down = true
		b.leave()
		b.owner.tell(b, "upstream is down, it is asked now and then by one request")
	}
}

func (b *breaker) blame(began time.Time, reason string) {
	if b.since.IsZero() {
		b.since = began
	}
	b.reason = reason
}

// leave leaves the host alone for longer than the last time.
func (b *breaker) leave() {
	b.rest = min(max(2*b.rest, firstRest), maxRest)
	b.again = time.Now().Add(b.rest)
	b.trial = nil
}

func (b *breaker) condition() (Condition, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Condition{Host: b.host, Down: b.down, Since: b.since, Reason: b.reason}, b.down || b.slow
}

func (b *breaker) ailing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.vital && (b.down || b.slow)
}

func (b *breaker) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.down && !b.slow && b.running == 0
}

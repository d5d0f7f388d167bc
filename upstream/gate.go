package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// queueBound is how long nobody at all passes before those who wait give up.
	queueBound = 30 * time.Second
	// overdue is how long who is not among the first waits at most before such have every
	// second turn.
	overdue = 10 * time.Second
	// restBurst is how many may pass at once after a rest where the rate is by the minute or
	// the hour: one pull asks for a manifest, a token and all layers.
	restBurst = 20
)

// ErrQueue says that a request was not sent, since its turn did not come: the limits of the
// configuration kept it, not the upstream.
var ErrQueue = errors.New("its turn did not come")

// turnError is the ErrQueue of who could wait no longer.
type turnError struct{ cause error }

func (e *turnError) Error() string {
	return ErrQueue.Error() + " in time: too many wait for the rate or concurrency that is configured"
}

func (e *turnError) Unwrap() []error { return []error{ErrQueue, e.cause} }

// Rate is how many requests are sent in a time; none is as many as there are.
type Rate struct {
	Requests int
	Per      time.Duration
}

// rank is what goes first of those who wait.
type rank int

const (
	// logins are tokens and what else tells how to log in: others wait for them.
	logins rank = iota
	// first are manifests and lists that somebody cannot do without.
	first
	// bulk is blobs. They leave a place to the first.
	bulk
	// idle are checks of what is held.
	idle
	ranks
)

// gate lets so many requests pass in a time, and so many run at once. The others queue.
type gate struct {
	interval time.Duration // between two, in the long run; 0 is none
	burst    int           // so many may pass at once after a rest
	places   int           // 0 is any number

	mu sync.Mutex // guards what is below
	// full is when as many as burst may pass again (the "theoretical arrival time").
	full time.Time
	// moved is when the last one passed.
	moved time.Time
	// running is how many run, blobs how many of these are.
	running, blobs int
	// queues are those who wait, in the order in which they came.
	queues [ranks][]*turn
	// aged: the last turn was that of one who was overdue.
	aged  bool
	timer *time.Timer
}

// turn is somebody's in a queue; passed is closed when it has come.
type turn struct {
	gate   *gate
	rank   rank
	since  time.Time
	passed chan struct{}
	over   sync.Once
}

// newGate returns nil where there is no limit.
func newGate(r Rate, places int) *gate {
	if r.Requests <= 0 && places <= 0 {
		return nil
	}
	g := &gate{places: places}
	if r.Requests > 0 {
		g.interval = r.Per / time.Duration(r.Requests)
		g.burst = max(1, int(time.Second/max(g.interval, 1)))
		if r.Per > time.Second {
			g.burst = max(g.burst, min(r.Requests, restBurst))
		}
	}
	return g
}

// enter waits for a turn, whose end is to be told. Who is extra has other ways, and does
// not wait.
func (g *gate) enter(ctx context.Context, r rank, extra bool) (*turn, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // no gate, no turn: its methods know
	}
	t := &turn{gate: g, rank: r, since: time.Now(), passed: make(chan struct{})}
	g.mu.Lock()
	g.queues[r] = append(g.queues[r], t)
	g.admit()
	g.mu.Unlock()
	err := g.await(ctx, t, extra)
	if err == nil {
		return t, nil
	}
	if !g.withdraw(t) {
		t.unused() // it came at that very moment
	}
	return nil, err
}

// await returns when t has come.
func (g *gate) await(ctx context.Context, t *turn, extra bool) error {
	if extra {
		select {
		case <-t.passed:
			return nil
		default:
			return fmt.Errorf("%w: as many run as may", ErrQueue)
		}
	}
	timer := time.NewTimer(g.patience())
	defer timer.Stop()
	late := timer.C
	if t.rank == bulk {
		late = nil // others' blobs take their time: it waits for as long as its client does
	}
	for {
		select {
		case <-t.passed:
			return nil
		case <-ctx.Done():
			return &turnError{context.Cause(ctx)}
		case <-late:
			left := g.patience() - g.still(t)
			if left <= 0 {
				return fmt.Errorf("%w within %s: too many wait for the rate or concurrency that is configured", ErrQueue, g.patience())
			}
			timer.Reset(left)
		}
	}
}

// patience is how long nobody passes before those who wait give up.
func (g *gate) patience() time.Duration {
	if g == nil {
		return 0
	}
	return queueBound + g.interval
}

// still is how long nobody has passed while t waits.
func (g *gate) still(t *turn) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved.After(t.since) {
		return time.Since(g.moved)
	}
	return time.Since(t.since)
}

// busy tells whether a check would have to wait.
func (g *gate) busy() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, queue := range g.queues {
		if len(queue) > 0 {
			return true
		}
	}
	return g.places > 0 && g.running >= g.places || g.wait() > 0
}

func (g *gate) withdraw(t *turn) (waited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.queues[t.rank], t)
	if at >= 0 {
		g.queues[t.rank] = slices.Delete(g.queues[t.rank], at, at+1)
	}
	return at >= 0
}

// end is when the request is over; it may be told more than once.
func (t *turn) end() { t.leave(0) }

// unused is end, of a turn in which nothing was sent: another has it.
func (t *turn) unused() {
	if t != nil {
		t.leave(t.gate.interval)
	}
}

func (t *turn) leave(back time.Duration) {
	if t == nil {
		return
	}
	t.over.Do(func() {
		g := t.gate
		g.mu.Lock()
		defer g.mu.Unlock()
		g.full = g.full.Add(-back)
		g.running--
		if t.rank == bulk {
			g.blobs--
		}
		g.admit()
	})
}

// wait is how long it takes until the rate lets the next pass. mu is held, as below.
func (g *gate) wait() time.Duration {
	if g.interval == 0 {
		return 0
	}
	return time.Until(g.full.Add(-g.interval * time.Duration(g.burst-1)))
}

// next is whose turn it is, -1 if it is nobody's: the first rank's, but every second time
// that of who has waited longest of the overdue, who are others.
func (g *gate) next() (next rank, aged bool) {
	if g.places > 0 && g.running >= g.places {
		return -1, false
	}
	next, oldest := -1, time.Now().Add(1-overdue)
	for r := range ranks {
		if len(g.queues[r]) == 0 || r == bulk && g.places > 1 && g.blobs >= g.places-1 {
			continue
		}
		since := g.queues[r][0].since
		switch {
		case next < 0:
			next = r
		case r > first && !g.aged && since.Before(oldest):
			next, oldest, aged = r, since, true
		}
	}
	return next, aged
}

// admit lets those pass whose turn it is, and comes again when the rate has the next.
func (g *gate) admit() {
	for {
		r, aged := g.next()
		if r < 0 {
			return
		}
		if wait := g.wait(); wait > 0 {
			g.again(wait)
			return
		}
		t := g.queues[r][0]
		g.queues[r] = slices.Delete(g.queues[r], 0, 1)
		now := time.Now()
		g.aged, g.moved = aged, now
		g.running++
		if r == bulk {
			g.blobs++
		}
		if g.full.Before(now) {
			g.full = now
		}
		g.full = g.full.Add(g.interval)
		close(t.passed)
	}
}

func (g *gate) again(wait time.Duration) {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timer = time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.admit()
	})
}

package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// queueBound is how long a request waits for its turn.
const queueBound = 30 * time.Second

// errQueue says that a request's turn did not come in time.
var errQueue = errors.New("its turn did not come")

// Rate is how many requests are sent in a time; none is as many as there are.
type Rate struct {
	Requests int
	Per      time.Duration
}

// overdue is how long a check waits at most before it has every second turn.
const overdue = 10 * time.Second

// rank is what goes first of those who wait.
type rank int

const (
	// first are manifests, lists and tokens that somebody cannot do without.
	first rank = iota
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
	// running is how many run, blobs how many of these are.
	running, blobs int
	// queues are those who wait, in the order in which they came.
	queues [ranks][]*waiter
	// checked: the last turn was an overdue check's.
	checked bool
	timer   *time.Timer
}

// waiter is somebody in a queue; passed is closed when it may go.
type waiter struct {
	rank   rank
	since  time.Time
	passed chan struct{}
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
	}
	return g
}

// enter waits for a turn, and returns what is to be called, once or more, when the request
// is over. Who is extra has other ways, and does not wait.
func (g *gate) enter(ctx context.Context, r rank, extra bool) (leave func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	w := &waiter{rank: r, since: time.Now(), passed: make(chan struct{})}
	leave = sync.OnceFunc(func() { g.leave(w) })
	g.mu.Lock()
	g.queues[r] = append(g.queues[r], w)
	g.admit()
	at := slices.Index(g.queues[r], w)
	if extra && at >= 0 {
		g.queues[r] = slices.Delete(g.queues[r], at, at+1)
	}
	g.mu.Unlock()
	switch {
	case at < 0:
		return leave, nil
	case extra:
		return nil, fmt.Errorf("%w: as many run as may", errQueue)
	}
	timer := time.NewTimer(queueBound)
	defer timer.Stop()
	select {
	case <-w.passed:
		return leave, nil
	case <-timer.C:
		err = fmt.Errorf("%w within %s: too many wait for the rate or concurrency that is configured", errQueue, queueBound)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if !g.withdraw(w) {
		leave() // it passed at that very moment
	}
	return nil, err
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

func (g *gate) withdraw(w *waiter) (waited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.queues[w.rank], w)
	if at >= 0 {
		g.queues[w.rank] = slices.Delete(g.queues[w.rank], at, at+1)
	}
	return at >= 0
}

func (g *gate) leave(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if w.rank == bulk {
		g.blobs--
	}
	g.admit()
}

// wait is how long it takes until the rate lets the next pass. mu is held, as below.
func (g *gate) wait() time.Duration {
	if g.interval == 0 {
		return 0
	}
	return time.Until(g.full.Add(-g.interval * time.Duration(g.burst-1)))
}

// next is whose turn it is, -1 if it is nobody's.
func (g *gate) next() rank {
	if g.places > 0 && g.running >= g.places {
		return -1
	}
	checks := len(g.queues[idle]) > 0
	switch {
	case checks && !g.checked && time.Since(g.queues[idle][0].since) >= overdue:
		return idle
	case len(g.queues[first]) > 0:
		return first
	case len(g.queues[bulk]) > 0 && (g.places < 2 || g.blobs < g.places-1):
		return bulk
	case checks:
		return idle
	}
	return -1
}

// admit lets those pass whose turn it is, and comes again when the rate has the next.
func (g *gate) admit() {
	for r := g.next(); r >= 0; r = g.next() {
		if wait := g.wait(); wait > 0 {
			g.again(wait)
			return
		}
		w := g.queues[r][0]
		g.queues[r] = slices.Delete(g.queues[r], 0, 1)
		now := time.Now()
		g.checked = r == idle && now.Sub(w.since) >= overdue
		g.running++
		if r == bulk {
			g.blobs++
		}
		if g.full.Before(now) {
			g.full = now
		}
		g.full = g.full.Add(g.interval)
		close(w.passed)
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

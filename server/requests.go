package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// requests are those that run, of which there is a limit: an HTTP/2 connection has many at
// once. More wait for their turn.
type requests struct {
	logger *slog.Logger

	mu      sync.Mutex // guards everything below
	max     int
	running int
	waiting []chan struct{} // who came first is first; closed when it is its turn
	warned  time.Time
}

func newRequests(limit int, logger *slog.Logger) *requests {
	return &requests{max: limit, logger: logger}
}

func (q *requests) limit(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.max = n
	q.admit()
}

// enter waits until a request may run, and returns false if ctx ended before. It leaves when
// it is done.
func (q *requests) enter(ctx context.Context) bool {
	q.mu.Lock()
	if q.running < q.max && len(q.waiting) == 0 {
		q.running++
		q.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	q.waiting = append(q.waiting, turn)
	limit, due := q.max, time.Since(q.warned) >= warnEvery
	if due {
		q.warned = time.Now()
	}
	q.mu.Unlock()
	if due {
		q.logger.Warn("as many requests run as may: new ones wait", "max_connections", limit)
	}
	select {
	case <-turn:
		return true
	case <-ctx.Done():
		q.renounce(turn)
		return false
	}
}

// renounce gives up a place in the queue, or what it has led to meanwhile.
func (q *requests) renounce(turn chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, turn); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		return
	}
	q.running--
	q.admit()
}

func (q *requests) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.admit()
}

// admit has those run that may now. The caller holds mu.
func (q *requests) admit() {
	for q.running < q.max && len(q.waiting) > 0 {
		close(q.waiting[0])
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.running++
	}
}

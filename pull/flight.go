package pull

import (
	"context"
	"sync"
	"time"
)

// errClosing answers for work that is asked for when there is to be none any more.
var errClosing = &Error{Reason: Unavailable, Subject: "this", Answers: []Answer{{"berth", "is shutting down"}}}

// flights makes one piece of work of all that is asked for under the same key at the same
// time. The work belongs to none of those who wait: it goes on when they leave.
type flights[T any] struct {
	work *work

	mu  sync.Mutex // guards all and every flight's waiting
	all map[string]*flight[T]
}

func newFlights[T any](w *work) *flights[T] {
	return &flights[T]{work: w, all: map[string]*flight[T]{}}
}

// flight is one piece of work, under way or done.
type flight[T any] struct {
	group *flights[T]
	// until is when those stop waiting who have something to fall back on.
	until   time.Time
	done    chan struct{}
	value   T
	err     error
	waiting int  // those who joined and did not leave
	over    bool // value and err are final
}

// join returns the flight under key, starting it with f if there is none. Every join is
// followed by one leave.
func (g *flights[T]) join(key string, f func(ctx context.Context) (T, error)) *flight[T] {
	return g.check(key, 0, f)
}

// check is join, of work that those who have something to fall back on wait for until
// patience is over: whoever starts it says how long that is.
func (g *flights[T]) check(key string, patience time.Duration, f func(ctx context.Context) (T, error)) *flight[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if fl, ok := g.all[key]; ok {
		fl.waiting++
		return fl
	}
	fl := &flight[T]{group: g, until: time.Now().Add(patience), done: make(chan struct{}), waiting: 1}
	g.all[key] = fl
	if !g.work.start(func(ctx context.Context) { fl.run(ctx, key, f) }) {
		delete(g.all, key)
		fl.err, fl.over = errClosing, true
		close(fl.done)
	}
	return fl
}

func (fl *flight[T]) run(ctx context.Context, key string, f func(ctx context.Context) (T, error)) {
	fl.value, fl.err = f(ctx)
	fl.group.mu.Lock()
	delete(fl.group.all, key)
	fl.over = true
	alone := fl.waiting == 0
	fl.group.mu.Unlock()
	close(fl.done)
	if alone {
		fl.release()
	}
}

// wait returns the flight's result, or the context's error if that ends first.
func (fl *flight[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-fl.done:
		return fl.value, fl.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// leave says that the caller has done with the flight and its value.
func (fl *flight[T]) leave() {
	fl.group.mu.Lock()
	fl.waiting--
	last := fl.waiting == 0 && fl.over
	fl.group.mu.Unlock()
	if last {
		fl.release()
	}
}

// release gives up a value that holds something open, when nobody needs it any more.
func (fl *flight[T]) release() {
	if c, ok := any(fl.value).(interface{ release() }); ok && fl.err == nil {
		c.release()
	}
}

// do is join, wait and leave, for values that hold nothing.
func (g *flights[T]) do(ctx context.Context, key string, f func(ctx context.Context) (T, error)) (T, error) {
	fl := g.join(key, f)
	defer fl.leave()
	return fl.wait(ctx)
}

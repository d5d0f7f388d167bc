package store

import (
	"context"
	"sync"
)

// locks lets one goroutine at a time change the object of a name. Hits take none.
type locks struct {
	// mu guards busy, whose channels are closed when the name is free again.
	mu   sync.Mutex
	busy map[string]chan struct{}
}

// try returns what releases name, and whether it was free.
func (l *locks) try(name string) (release func(), free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, busy := l.busy[name]; busy {
		return nil, false
	}
	return l.take(name), true
}

// take marks name, which is free, as busy. mu is held.
func (l *locks) take(name string) (release func()) {
	if l.busy == nil {
		l.busy = make(map[string]chan struct{})
	}
	free := make(chan struct{})
	l.busy[name] = free
	return func() {
		l.mu.Lock()
		delete(l.busy, name)
		l.mu.Unlock()
		close(free)
	}
}

// acquire waits for name and returns what releases it.
func (l *locks) acquire(ctx context.Context, name string) (release func(), err error) {
	for {
		l.mu.Lock()
		taken, busy := l.busy[name]
		if !busy {
			release = l.take(name)
			l.mu.Unlock()
			return release, nil
		}
		l.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

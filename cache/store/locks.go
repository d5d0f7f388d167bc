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

// acquire waits for name and returns what releases it.
func (l *locks) acquire(ctx context.Context, name string) (release func(), err error) {
	for {
		l.mu.Lock()
		taken, busy := l.busy[name]
		if !busy {
			if l.busy == nil {
				l.busy = make(map[string]chan struct{})
			}
			free := make(chan struct{})
			l.busy[name] = free
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.busy, name)
				l.mu.Unlock()
				close(free)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

package pull

import (
	"context"
	"sync"
)

// work owns what goes on behind a request: it gives it a context and waits for its end.
type work struct {
	ctx    context.Context //nolint:containedctx // the life of the work itself, cancelled by close
	cancel context.CancelFunc

	mu     sync.Mutex // guards closed, so that no work starts after the wait began
	closed bool
	group  sync.WaitGroup
}

func newWork() *work {
	ctx, cancel := context.WithCancel(context.Background())
	return &work{ctx: ctx, cancel: cancel}
}

// start runs f in its own goroutine, or reports that the work is over.
func (w *work) start(f func(ctx context.Context)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.group.Go(func() { f(w.ctx) })
	return true
}

func (w *work) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.group.Wait()
}

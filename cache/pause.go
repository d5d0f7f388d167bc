package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-cache/berth/cache/store"
)

var (
	// errPaused interrupts a fill that nobody follows.
	errPaused = errors.New("fill paused")
	// errAbandoned ends a fill that paused and was not resumed in time.
	errAbandoned = errors.New("fill abandoned")
)

// pause waits until a follower resumes the fill. If none does in time, or there is
// nothing worth keeping, the fill leaves the map and the error is errAbandoned.
func (f *fill) pause(ctx context.Context) error {
	f.progress.forget()
	if f.progress.bytes() == 0 && f.abandon() {
		return errAbandoned
	}
	f.contents.metrics.run(-1)
	defer f.contents.metrics.run(1)
	timer := time.NewTimer(f.contents.keep)
	defer timer.Stop()
	for f.isPaused() {
		select {
		case <-f.resumed:
			continue
		case <-timer.C:
		case <-f.contents.closing:
		case <-ctx.Done():
		}
		if f.abandon() {
			return fmt.Errorf("fill %s: %w", f.digest, errAbandoned)
		}
	}
	return nil
}

// abandon takes a fill that is still paused out of the map.
func (f *fill) abandon() bool {
	f.contents.mu.Lock()
	defer f.contents.mu.Unlock()
	if f.paused && f.contents.fills[f.digest] == f {
		delete(f.contents.fills, f.digest)
	}
	return f.paused
}

// reserve stages content of size bytes. In a full store what paused fills have, which may
// never be asked for again, makes way for it.
func (c *Contents) reserve(ctx context.Context, size int64) (store.Staged, error) {
	staged, err := c.store.Stage(ctx, size)
	if err != nil && storeReason(err) == reasonFull && c.abandonPaused(ctx) {
		return c.store.Stage(ctx, size)
	}
	return staged, err
}

// abandonPaused ends all fills that are paused, and tells whether any did.
func (c *Contents) abandonPaused(ctx context.Context) bool {
	var paused []*fill
	c.mu.Lock()
	for d, f := range c.fills {
		if f.paused {
			delete(c.fills, d) // nobody resumes it any more
			paused = append(paused, f)
		}
	}
	c.mu.Unlock()
	for _, f := range paused {
		f.abort(errAbandoned)
	}
	for _, f := range paused {
		select {
		case <-f.gone:
		case <-ctx.Done():
			return false
		}
	}
	return len(paused) > 0
}

func (f *fill) isPaused() bool {
	f.contents.mu.Lock()
	defer f.contents.mu.Unlock()
	return f.paused
}

package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// errPaused interrupts a fill that nobody follows.
	errPaused = errors.New("fill paused")
	// errAbandoned ends a fill that paused and was not resumed in time.
	errAbandoned = errors.New("fill abandoned")
)

// leave takes a follower away. A fill without one runs on as an orphan if another may,
// and pauses if not; one that has only its commit to do is left to do it.
func (c *Contents) leave(f *fill) {
	c.mu.Lock()
	f.followers--
	switch {
	case f.followers > 0 || f.ended || f.progress.complete():
	case c.orphans > 0:
		f.orphan = true
		c.orphans--
	default:
		f.paused = true
		f.progress.forget()
		if f.interrupt != nil {
			f.interrupt(errPaused)
		}
	}
	last := f.ended && f.followers == 0
	c.mu.Unlock()
	if last {
		f.discard()
	}
}

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
	if f.paused {
		delete(f.contents.fills, f.digest)
	}
	return f.paused
}

func (f *fill) isPaused() bool {
	f.contents.mu.Lock()
	defer f.contents.mu.Unlock()
	return f.paused
}

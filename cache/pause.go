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

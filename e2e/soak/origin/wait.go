package origin

import (
	"context"
	"time"
)

// wait waits so many milliseconds, or until lull or ctx ends.
func wait(ctx context.Context, lull <-chan struct{}, milliseconds int) {
	timer := time.NewTimer(time.Duration(milliseconds) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-lull:
	case <-ctx.Done():
	}
}

package state

import (
	"context"
	"time"
)

const (
	// sweepEvery is how long space of an expired entry stays taken; what has expired
	// is invisible at once.
	sweepEvery = time.Minute
	// sweepBatch bounds one transaction of the sweeper, which callers' writes join.
	sweepBatch = 1000
)

// sweepLoop frees the space of expired entries until Close.
func (b *Bolt) sweepLoop() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-b.closing:
			return
		case <-ticker.C:
			b.sweep()
		}
	}
}

// sweep goes batch by batch, so that callers' writes come in between.
func (b *Bolt) sweep() {
	for {
		removed := 0
		err := b.submit(context.Background(), 0, func(t tables) (bool, error) {
			var err error
			removed, err = t.sweep(time.Now(), sweepBatch)
			return removed > 0, err
		})
		select {
		case <-b.closing:
			return
		default:
		}
		if err != nil {
			b.log.Warn("sweep of expired state stopped", "error", err)
			return
		}
		if removed < sweepBatch {
			return
		}
	}
}

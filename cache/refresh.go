package cache

import (
	"context"
	"errors"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/berth-cache/berth/state"
)

// refreshEvery is how often a fact in use is given its time in the state anew.
const refreshEvery = 24 * time.Hour

// worn tells whether a fact that was last given its time at used is due for more. A use in
// the future was noted by a clock that was ahead.
func worn(used time.Time) bool { return time.Since(used).Abs() > refreshEvery }

// refresh gives the fact under k another 90 days in the state, whatever it says by now,
// and has mark note in memory that it did. The state is asked behind the request.
func refresh[T any](ctx context.Context, x *Index, k string, mark func(*T)) {
	x.memory.ComputeIfPresent(k, func(old any) (any, otter.ComputeOp) {
		fact, ok := old.(T)
		if !ok {
			return old, otter.CancelOp
		}
		mark(&fact)
		return fact, otter.WriteOp
	})
	x.behind.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateBound)
		defer cancel()
		raw, err := x.state.Get(ctx, k)
		if err == nil {
			err = x.state.CompareAndSwap(ctx, k, state.Swap{Old: raw, New: raw, TTL: unusedFor})
		}
		if err != nil && !errors.Is(err, state.ErrConflict) { // who changed it has refreshed it
			x.complain(opWrite, k, err)
		}
	})
}

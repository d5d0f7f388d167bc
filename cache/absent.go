package cache

import (
	"time"

	"github.com/maypok86/otter/v2"
)

// absentFor is how long a fact that the state does not have counts as unknown without
// another look: a request for a warm tag of the fourth upstream asks for three facts that
// are none. What another process writes meanwhile is seen that much later.
const absentFor = time.Second

// absent stands in memory for a fact that the state did not have at that time.
type absent time.Time

// holds tells whether the state need not be asked yet.
func (a absent) holds() bool {
	since := time.Since(time.Time(a))
	return since >= 0 && since < absentFor
}

// forgetAbsent makes room under k for what the state says now.
func (x *Index) forgetAbsent(k string) {
	x.memory.ComputeIfPresent(k, func(old any) (any, otter.ComputeOp) {
		if _, ok := old.(absent); ok {
			return nil, otter.InvalidateOp
		}
		return old, otter.CancelOp
	})
}

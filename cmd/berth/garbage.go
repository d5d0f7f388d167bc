package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// garbageRoom is how much garbage may gather before it is collected, in bytes. Go's own
	// rule, as much as there is of the rest, makes a Berth that holds little collect fifty
	// times a second.
	garbageRoom = 16 << 20
	// Of much, the room is a part, as Go has it; of next to nothing it is no more than this.
	leastGarbage, mostGarbage = 75, 500 // percent
)

// garbage sets how much garbage there may be, by what is in use.
type garbage struct {
	before int // percent

	mu      sync.Mutex // guards what is below; setting the percentage is no IO
	percent int
	closed  bool
}

// newGarbage begins to tune the collector, unless GOGC says how it is to be.
func newGarbage() *garbage {
	g := &garbage{closed: true}
	if os.Getenv("GOGC") != "" {
		return g
	}
	g.closed, g.before = false, debug.SetGCPercent(mostGarbage)
	g.percent = mostGarbage
	g.adjust()
	return g
}

// Close leaves the collector as it was.
func (g *garbage) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		debug.SetGCPercent(g.before)
	}
}

// adjust sets the percentage now, and after each collection until Close.
func (g *garbage) adjust() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	// Every change stops the world: small ones are not worth it.
	if p := percentage(inUse()); p < g.percent*9/10 || p > g.percent*11/10 {
		debug.SetGCPercent(p)
		g.percent = p
	}
	// What nobody refers to is found by the next collection.
	runtime.AddCleanup(new([64]byte), (*garbage).adjust, g)
}

// percentage is what makes garbageRoom of so many bytes in use.
func percentage(inUse uint64) int {
	return int(min(max(garbageRoom*100/max(inUse, 1), leastGarbage), mostGarbage))
}

// inUse is what the last collection left, and the stacks: what the percentage is of.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return sum
}

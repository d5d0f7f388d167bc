package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentage(t *testing.T) {
	for _, test := range []struct {
		inUse uint64
		want  int
	}{
		{0, mostGarbage},
		{1, mostGarbage},
		{2 << 20, mostGarbage},
		{4 << 20, 400},
		{8 << 20, 200},
		{16 << 20, 100},
		{20 << 20, 80},
		{64 << 20, leastGarbage},
		{1 << 40, leastGarbage},
	} {
		if got := percentage(test.inUse); got != test.want {
			t.Errorf("%d bytes in use: %d %%, want %d", test.inUse, got, test.want)
		}
	}
}

// percent is what the collector is set to.
func percent() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

// comes collects garbage until the percentage is as ok wants it.
func comes(t *testing.T, what string, ok func(percent int) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(percent()); {
		if time.Now().After(end) {
			t.Fatalf("%d %% %s", percent(), what)
		}
		runtime.GC()
		runtime.Gosched()
	}
}

func TestGarbageFollowsWhatIsInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	before := percent()
	g := newGarbage()
	comes(t, "with little in use", func(p int) bool { return p > 2*leastGarbage })
	much := make([]byte, 256<<20) // nobody touches it: it is no memory
	comes(t, "with much in use", func(p int) bool { return p == leastGarbage })
	runtime.KeepAlive(much)
	comes(t, "with little in use again", func(p int) bool { return p > 2*leastGarbage })
	g.Close()
	g.Close()
	if p := percent(); p != before {
		t.Errorf("%d %% after Close, %d before", p, before)
	}
	runtime.GC()
	runtime.GC()
	if p := percent(); p != before {
		t.Errorf("%d %% a collection after Close, %d before", p, before)
	}
}

func TestGarbageHeedsTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "70")
	before := percent()
	g := newGarbage()
	defer g.Close()
	if p := percent(); p != before {
		t.Errorf("%d %% although GOGC is set, %d before", p, before)
	}
}

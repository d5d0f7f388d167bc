package soak_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

// TestTwoProcessesOnOneFolder: the second refuses, and says who is there; the first notices
// nothing.
func TestTwoProcessesOnOneFolder(t *testing.T) {
	w := newWorld(t, truth.Size{Repositories: 2, Images: 2, HugeBytes: 1 << 20}, "")
	w.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { w.Run(ctx, load.Phase{Seed: seed, Operations: 1 << 20, Workers: 4}) })
	for range 3 {
		status, said := w.Second(t)
		if status != 1 || !strings.Contains(said, strconv.Itoa(w.PID())) || !strings.Contains(said, w.Data()) {
			t.Errorf("the second process ended with %d and said %q; want 1, the folder, and the first's number %d", status, said, w.PID())
		}
	}
	cancel()
	working.Wait()
	w.quiet(t)
	w.wantNoneBad(t)
	if status := w.Terminate(t); status != 0 {
		t.Errorf("the first process ended with %d", status)
	}
}

// TestTerminatedUnderLoad: pulls that run when a stop is asked for come to their end, the
// status is 0, and what was held is there after the next start.
func TestTerminatedUnderLoad(t *testing.T) {
	w := newWorld(t, truth.Size{Repositories: 2, Images: 4, HugeBytes: 8 << 20}, "")
	w.config.Drain = "2s" // the load never rests, so all of it is used
	w.Write(t, w.config)
	for range of(1, 10) {
		w.Start(t)
		w.wantPull(t, w.library.Home, "v0", "after a start")
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		working.Go(func() {
			w.Run(ctx, load.Phase{Seed: w.random.Uint64(), Operations: 1 << 20, Workers: 8, Trouble: true})
		})
		busy := w.Tally.Operations() + 100 + w.random.IntN(400)
		eventually(t, "there is load", func() (bool, string) {
			n := w.Tally.Operations()
			return n >= busy, strconv.Itoa(n)
		})
		began := time.Now()
		status := w.Terminate(t)
		cancel()
		working.Wait()
		w.HangUp()
		if status != 0 {
			t.Errorf("ended with %d", status)
		}
		if w.Panics(t) {
			t.Error("the log tells of a panic or a race")
		}
		t.Logf("ended within %s under load", time.Since(began).Round(time.Millisecond))
	}
	w.Start(t)
	w.wantTreeAsReported(t)
	start := w.stop(t)
	w.wantPull(t, w.library.Home, "v0", "with every upstream stopped")
	start()
	w.wantNoneBad(t)
}

package soak_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/e2e/soak/process"
)

// idle is what a Berth without anything to do has open.
type idle struct {
	Goroutines, Fills, Staging int
	Open                       process.Descriptors
}

// look sees what is open now. Folders of content stay open once they were used, at most
// 512 of them; they are left out, and returned by themselves.
func (w *world) look(t *testing.T) (now idle, shards int) {
	t.Helper()
	metrics := w.Metrics(t)
	now = idle{
		Goroutines: int(metrics["go_goroutines"]), Fills: int(metrics["berth_fills_running"]),
		Staging: w.Staging(t), Open: w.Descriptors(t),
	}
	shards = now.Open.Shards
	now.Open.Shards = 0
	return now, shards
}

// rest waits until Berth has nothing open towards anybody, and tells what it has then.
func (w *world) rest(t *testing.T) idle {
	t.Helper()
	var before idle
	eventually(t, "nothing but listeners is open, and that for a while", func() (bool, string) {
		w.hangUp()
		now, _ := w.look(t)
		same := now == before
		before = now
		return same && now.Fills == 0 && now.Staging == 0 && now.Open.Content == 0 && now.Open.Sockets <= 2, fmt.Sprintf("%+v", now)
	})
	return before
}

// quiet brings the world to rest: what clients left half done comes in, connections that
// nobody uses are closed on the other side.
func (w *world) quiet(t *testing.T) (blobs, again int) {
	t.Helper()
	blobs, again = w.Settle(t.Context())
	w.hangUp()
	return blobs, again
}

// hangUp closes connections that nobody uses, on the sides that are ours.
func (w *world) hangUp() {
	w.HangUp()
	for _, o := range w.origins {
		o.HangUp()
	}
}

// wantIdle waits until as much is open as was at the beginning, and no more.
func (w *world) wantIdle(t *testing.T, began idle) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now, shards := w.look(t)
		if now == began && shards <= 512 {
			return
		}
		w.hangUp() // again, for what was slow to be let go of
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not as at the beginning (%d shards, -began +now):\n%s%s", shards, cmp.Diff(began, now), w.goroutines(t))
		}
	}
}

// goroutines are the stacks of what runs in Berth, if it tells.
func (w *world) goroutines(t *testing.T) string {
	t.Helper()
	text, err := w.Ask(t.Context(), "/debug/pprof/goroutine?debug=1")
	return fmt.Sprintf("%s %v", text, err)
}

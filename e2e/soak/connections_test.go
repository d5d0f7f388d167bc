package soak_test

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/soak/crowd"
	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/process"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

const (
	// spare are descriptors for everything but idle connections.
	spare = 4000
	// perConnection is what a connection may cost in memory: its goroutine, two buffers of
	// 4 KiB, and what the collector has not looked at yet.
	perConnection = 48 << 10
	// cutWithin is longer than the longest that a slow client is given: two minutes idle.
	cutWithin = 170 * time.Second
)

// TestConnections has thousands of clients that mean no good, all at once, and twenty that
// pull. Those notice nothing.
func TestConnections(t *testing.T) {
	idle := connections(t, of(1000, 10_000))
	w := newWorld(t, truth.Size{Repositories: 2, Images: 5, HugeBytes: 16 << 20}, "")
	w.Start(t)
	w.wantPull(t, w.library.Home, "v0", "before the crowd")
	w.HangUp()
	began := w.rest(t)
	before, _ := w.Resident(t)

	c := crowd.New(t, w.Addr)
	c.Silent(t, idle/2)
	c.Lingering(t, idle/2)
	c.Dribbling(t, idle/10, 50*time.Millisecond)
	c.Stalled(t, idle/20, "/v2/"+w.library.Home.Name+"/blobs/"+w.library.Huge.Blobs[1].Digest.String())
	stopFloods := c.Flooding(20)
	start := time.Now()
	pulls := w.pullByMany(t, 20)
	took := time.Since(start)
	crowded := c.Open()
	open := w.Descriptors(t)
	now, peak := w.Resident(t)
	goroutines := w.Metrics(t)["go_goroutines"]
	if most := before + int64(crowded+100)*perConnection + 64<<20; peak > most && !process.Race() {
		t.Errorf("memory was %d MiB at most, more than %d MiB", peak>>20, most>>20)
	}
	floods := 0
	for _, n := range c.Floods() {
		floods += n // each is kept for half a second after its answer
	}
	if most := crowded + floods + 300; open.Sockets > most {
		t.Errorf("%d sockets are open for %d connections and %d floods", open.Sockets, crowded, floods)
	}
	stopFloods() // or those that have their answer, for half a second each, would be counted as slow
	if full {
		eventuallyWithin(t, cutWithin, "every slow client is cut off", func() (bool, string) {
			sockets := w.Descriptors(t).Sockets
			return sockets <= began.Open.Sockets, fmt.Sprintf("%d more are open", sockets-began.Open.Sockets)
		})
		t.Logf("all %d were cut off within %s", crowded, time.Since(start).Round(time.Second))
	}
	c.Close()
	for line := range c.Floods() {
		if line != "HTTP/1.1 431 Request Header Fields Too Large" && line != "closed" && line != "no connection" {
			t.Errorf("a flood was answered %q", line)
		}
	}
	w.quiet(t)
	w.wantIdle(t, began)
	w.wantNoneBad(t)
	t.Logf("%d connections of a crowd, %d pulls by 20 clients in %s; sockets %d, files %d, goroutines %.0f; memory %d MiB before, %d MiB then, %d MiB at most; floods answered %v",
		crowded, pulls, took.Round(time.Millisecond), open.Sockets, open.Content, goroutines, before>>20, now>>20, peak>>20, c.Floods())
}

// pullByMany has clients pull what there is and something new each, and returns how many
// pulls that were.
func (w *world) pullByMany(t *testing.T, clients int) int {
	t.Helper()
	const images = 5
	var pulling sync.WaitGroup
	for i := range clients {
		pulling.Go(func() {
			for j := range images {
				p := w.library.Places[(i*images+j)%len(w.library.Places)]
				if ending, detail := w.Pull(t.Context(), p, "v1", p.Versions("v1")[0]); ending != load.Right {
					t.Errorf("in a crowd: %s: %s", ending, detail)
				}
			}
		})
	}
	pulling.Wait()
	return clients * images
}

// connections is how many there can be: want, or as many as the machine lets this process
// and Berth have.
func connections(t *testing.T, want int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if room := int(limit.Max) - spare; room < want && limit.Max < 1<<20 {
		t.Logf("%d connections instead of %d: this machine allows %d descriptors", room, want, limit.Max)
		return room
	}
	return want
}

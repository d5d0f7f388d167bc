package soak_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/origin"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

// soakMaxSize is less than there is to pull, so that eviction runs.
const soakMaxSize = "64MiB"

// TestSoak is a long mixture of everything, in calm weather, in storms and with nothing
// but what is held. Nobody is told anything false, nothing is lost that need not be, and
// in the end nothing is left over.
func TestSoak(t *testing.T) {
	const workers = 16
	operations, rounds := of(1600, 200_000), of(2, 40)
	w := newWorld(t, truth.Size{Repositories: of(3, 12), Images: 4, HugeBytes: 24 << 20}, soakMaxSize)
	w.Start(t)
	w.Run(t.Context(), load.Phase{Seed: seed, Operations: 300, Workers: workers})
	w.quiet(t)
	began := w.rest(t)
	start := time.Now()

	part := operations / rounds / 2
	var s storm
	settled, again, outages := 0, 0, 0
	r := reloads{world: w}
	for round := range uint64(rounds) {
		w.Run(t.Context(), load.Phase{
			Seed: seed<<20 | round<<1, Operations: part, Workers: workers,
			Every: 200, Do: func() { r.turn(t) },
		})
		outages += w.outage(t)
		w.Run(t.Context(), load.Phase{
			Seed: seed<<20 | round<<1 | 1, Operations: part, Workers: workers, Trouble: true,
			Every: 100, Do: func() { s.turn(t, w); r.turn(t) },
		})
		s.end(t, w)
		w.recovered(t)
		blobs, more := w.Settle(t.Context())
		settled, again = settled+blobs, again+more
	}
	took := time.Since(start)
	r.end(t)
	w.quiet(t)
	w.wantIdle(t, began)
	w.wantTreeAsReported(t)
	w.wantNewest(t)
	w.wantNoneBad(t)
	if w.Panics(t) {
		t.Error("the log tells of a panic or a race")
	}
	now, peak := w.Resident(t)
	t.Logf("\n%s\nfaults injected: %s\n%d operations in %s; %d pulls with every upstream down; %d blobs settled, %d times again; configuration read again %.0f times, refused %.0f times",
		w.Tally, told(w.faults()), w.Tally.Operations(), took.Round(time.Millisecond), outages, settled, again, r.applied, r.refused)
	m := w.Metrics(t)
	t.Logf("memory %d MiB, at most %d MiB; idle %+v; held %.0f objects of %.0f bytes, evicted %.0f of %.0f bytes, not stored %.0f",
		now>>20, peak>>20, began, m["berth_content_objects"], m["berth_content_bytes"],
		m["berth_evicted_objects_total"], m["berth_evicted_bytes_total"], m["berth_unstored_pulls_total"])
	if limit := m["berth_content_limit_bytes"]; m["berth_content_bytes"] > limit || m["berth_evicted_objects_total"] == 0 {
		t.Errorf("held %.0f bytes of %.0f, %.0f evicted", m["berth_content_bytes"], limit, m["berth_evicted_objects_total"])
	}
	if status := w.Terminate(t); status != 0 {
		t.Errorf("ended with status %d", status)
	}
}

// outage pulls some images, then stops every upstream: they are served all the same.
func (w *world) outage(t *testing.T) int {
	t.Helper()
	places := make([]truth.Place, 8)
	for i := range places {
		places[i] = w.library.Places[w.random.IntN(len(w.library.Places))]
		w.wantPull(t, places[i], "v0", "before an outage")
	}
	start := w.stop(t)
	for _, p := range places {
		w.wantPull(t, p, "v0", "in an outage")
		w.wantPull(t, p, p.Versions("v0")[0].Digest.String(), "in an outage")
	}
	start()
	w.recovered(t)
	return 2 * len(places)
}

func (w *world) wantPull(t *testing.T, p truth.Place, reference, when string) {
	t.Helper()
	if ending, detail := w.Pull(t.Context(), p, reference, p.Versions("v0")[0]); ending != load.Right {
		t.Errorf("%s: %s:%s: %s: %s", when, p.Name, reference, ending, detail)
	}
}

// wantNewest waits until tags that are checked each second point to the newest.
func (w *world) wantNewest(t *testing.T) {
	t.Helper()
	for _, p := range w.library.Places {
		if p.Upstream == "beta" {
			continue // believed for a day
		}
		versions := p.Versions(truth.Rolling)
		eventually(t, p.Name+" points to the newest", func() (bool, string) {
			ending, detail := w.Pull(t.Context(), p, truth.Rolling, versions[len(versions)-1])
			return ending == load.Right, detail
		})
	}
}

// storm changes what upstreams do.
type storm struct {
	// mu guards the storm: one worker at a time turns it.
	mu   sync.Mutex
	down *origin.Origin
	n    int
}

// turn has one upstream begin something else: spoil answers in one of the ways that there
// are, stop, or behave.
func (s *storm) turn(t *testing.T, w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.down != nil {
		s.down.Start(t)
		s.down = nil
	}
	o := w.origins[s.n%len(w.origins)]
	mood := origin.Moods[(s.n/2)%len(origin.Moods)]
	o.Calm()
	if mood[origin.Down] > 0 {
		o.Stop()
		o.Count(origin.Down)
		s.down = o
		return
	}
	o.Storm(mood)
}

// end is fair weather again.
func (s *storm) end(t *testing.T, w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		s.down.Start(t)
		s.down = nil
	}
	for _, o := range w.origins {
		o.Calm()
	}
}

// faults are those of all upstreams together.
func (w *world) faults() map[origin.Fault]int {
	all := map[origin.Fault]int{}
	for _, o := range w.origins {
		for fault, n := range o.Faults() {
			all[fault] += n
		}
	}
	return all
}

func told(faults map[origin.Fault]int) string {
	var parts []string
	for _, fault := range slices.Sorted(maps.Keys(faults)) {
		parts = append(parts, fmt.Sprintf("%s %d", fault, faults[fault]))
	}
	return strings.Join(parts, ", ")
}

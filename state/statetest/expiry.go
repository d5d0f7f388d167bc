package statetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/berth-cache/berth/state"
)

// No engine takes a clock, since Redis has its own. So a test waits until a key has
// expired rather than for a time, and tells "before" from "after" by a marker that was
// written later and lives longer.

// brief is a time to live that passes while a test waits for it.
const brief = 20 * time.Millisecond

func testExpiry(t *testing.T, s state.Store) {
	for name, ttl := range map[string]time.Duration{
		"shortest": 1, "below a millisecond": 999 * time.Microsecond, "brief": brief,
	} {
		if err := s.Put(t.Context(), name, []byte("v"), ttl); err != nil {
			t.Fatal(err)
		}
		eventuallyAbsent(t, s, name)
	}
	for name, ttl := range map[string]time.Duration{"hour": time.Hour, "longest": math.MaxInt64, "for ever": 0} {
		if err := s.Put(t.Context(), name, []byte("v"), ttl); err != nil {
			t.Fatal(err)
		}
		wantValue(t, s, name, "v")
	}
	wantScan(t, s, state.Range{Limit: 10}, "for ever=v", "hour=v", "longest=v")
}

// testExpiryReplaced writes keys that would expire once more: the last write counts.
func testExpiryReplaced(t *testing.T, s state.Store) {
	ctx := t.Context()
	v, long := []byte("v"), []byte("long")
	for _, key := range []string{"for ever", "hour", "swapped", "deleted"} {
		if err := s.Put(ctx, key, v, brief); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "for ever", "long")
	if err := s.Put(ctx, "hour", long, time.Hour); err != nil {
		t.Fatal(err)
	}
	// The swap may find the old value gone on a slow machine; then it starts from nothing.
	if s.CompareAndSwap(ctx, "swapped", state.Swap{Old: v, New: long}) != nil {
		swap(t, s, "swapped", state.Swap{New: long})
	}
	if err := s.Delete(ctx, "deleted"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "deleted", "long")
	put(t, s, "shortened", "v")
	if err := s.Put(ctx, "shortened", v, 2*brief); err != nil {
		t.Fatal(err)
	}
	eventuallyAbsent(t, s, "shortened")
	wantScan(t, s, state.Range{Limit: 10}, "deleted=long", "for ever=long", "hour=long", "swapped=long")
}

func testExpiryOfSwap(t *testing.T, s state.Store) {
	swap(t, s, "k", state.Swap{New: []byte("v"), TTL: brief})
	eventuallyAbsent(t, s, "k")
	// What has expired is absent to a swap as well.
	wantConflict(t, s, "k", state.Swap{Old: []byte("v"), New: []byte("w")})
	swap(t, s, "k", state.Swap{New: []byte("w"), TTL: time.Hour})
	swap(t, s, "k", state.Swap{Old: []byte("w"), New: []byte("x")})
	wantValue(t, s, "k", "x")
	swap(t, s, "k", state.Swap{Old: []byte("x"), New: []byte("y"), TTL: 1})
	eventuallyAbsent(t, s, "k")
	swap(t, s, "k", state.Swap{}) // nothing to nothing
	wantAbsent(t, s, "k")
}

// testExpiryAndScan hides live keys behind many that have expired: a scan must reach
// them, whatever its limit.
func testExpiryAndScan(t *testing.T, s state.Store) {
	const dead = 600
	inParallel(t, dead, func(i int) error {
		return s.Put(t.Context(), fmt.Sprintf("k/%04d", i), []byte("dead"), brief)
	})
	put(t, s, "k/0300+", "middle")
	put(t, s, "k/9", "end")
	if err := s.Put(t.Context(), "marker", nil, 2*brief); err != nil {
		t.Fatal(err)
	}
	eventuallyAbsent(t, s, "marker")
	wantScan(t, s, state.Range{Prefix: "k/", Limit: 1}, "k/0300+=middle")
	// Some that expired, and were perhaps forgotten by the scan, come back.
	put(t, s, "k/0000", "back")
	swap(t, s, "k/0599", state.Swap{New: []byte("back")})
	want := []string{"k/0000=back", "k/0300+=middle", "k/0599=back", "k/9=end"}
	wantScan(t, s, state.Range{Prefix: "k/", Limit: 4}, want...)
	wantScan(t, s, state.Range{Limit: 100}, want...)
	wantScan(t, s, state.Range{Prefix: "k/", After: "k/0000", Limit: 2}, want[1:3]...)
}

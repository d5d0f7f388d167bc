package state_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/state/statetest"
)

func openBolt(t *testing.T, path string) *state.Bolt {
	t.Helper()
	b, err := state.OpenBolt(path, state.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newBolt(t *testing.T) *state.Bolt {
	t.Helper()
	return openBolt(t, filepath.Join(t.TempDir(), "state.db"))
}

func TestBolt(t *testing.T) {
	statetest.Run(t, func(t *testing.T) state.Store { return newBolt(t) })
}

func TestBoltReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := openBolt(t, path)
	must(t, b.Put(t.Context(), "k", []byte("v"), 0))
	must(t, b.Put(t.Context(), "short", []byte("v"), 1))
	must(t, b.Put(t.Context(), "gone", []byte("v"), 0))
	must(t, b.Delete(t.Context(), "gone"))
	must(t, b.Close())

	got, err := openBolt(t, path).Scan(t.Context(), state.Range{Limit: 10})
	must(t, err)
	if diff := cmp.Diff([]state.Entry{{Key: "k", Value: []byte("v")}}, got); diff != "" {
		t.Errorf("after reopening (-want +got):\n%s", diff)
	}
}

// gather holds the writer, runs fn(0) to fn(n-1) at once, and lets the writer go when
// all their writes queue. It returns their errors and how many commits they took.
func gather(t *testing.T, b *state.Bolt, n int, fn func(i int) error) (errs []error, commits int) {
	t.Helper()
	before, err := b.Commits()
	must(t, err)
	release, err := b.HoldWrites()
	must(t, err)
	errs = make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	for b.Queued() < n-1 { // the writer has the first in hand
		runtime.Gosched()
	}
	must(t, release())
	wg.Wait()
	after, err := b.Commits()
	must(t, err)
	return errs, after - before
}

func TestBoltGroupCommit(t *testing.T) {
	b := newBolt(t)
	errs, commits := gather(t, b, 100, func(i int) error {
		return b.Put(t.Context(), fmt.Sprint(i), nil, 0)
	})
	must(t, errors.Join(errs...))
	if commits != 1 {
		t.Errorf("100 writes at once took %d commits, want 1", commits)
	}
	_, commits = gather(t, b, 1, func(int) error { return b.Put(t.Context(), "k", nil, 0) })
	if commits != 1 {
		t.Errorf("one write took %d commits, want 1", commits)
	}
}

func TestBoltSwapsInOneBatch(t *testing.T) {
	b := newBolt(t)
	must(t, b.Put(t.Context(), "k", []byte("old"), 0))
	errs, commits := gather(t, b, 50, func(i int) error {
		swap := state.Swap{Old: []byte("old"), New: fmt.Append(nil, i)}
		return b.CompareAndSwap(t.Context(), "k", swap)
	})
	if commits != 1 {
		t.Errorf("swaps took %d commits, want 1", commits)
	}
	won := -1
	for i, err := range errs {
		switch {
		case errors.Is(err, state.ErrConflict):
		case err != nil:
			t.Error(err)
		case won >= 0:
			t.Errorf("swaps %d and %d both succeeded", won, i)
		default:
			won = i
		}
	}
	if got, err := b.Get(t.Context(), "k"); err != nil || string(got) != fmt.Sprint(won) {
		t.Errorf("Get = %q, %v, want %d", got, err, won)
	}
}

func TestBoltNothingToCommit(t *testing.T) {
	b := newBolt(t)
	errs, commits := gather(t, b, 20, func(i int) error {
		if i%2 == 0 {
			return b.Delete(t.Context(), "absent")
		}
		return b.CompareAndSwap(t.Context(), "absent", state.Swap{Old: []byte("v")})
	})
	for i, err := range errs {
		if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, state.ErrConflict) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if commits != 0 {
		t.Errorf("writes that change nothing took %d commits", commits)
	}
}

// TestBoltClose closes while writes queue behind a slow commit: each is either kept or
// refused as unavailable.
func TestBoltClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := openBolt(t, path)
	release, err := b.HoldWrites()
	must(t, err)
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = b.Put(t.Context(), fmt.Sprint(i), nil, 0) })
	}
	for b.Queued() < len(errs)-1 {
		runtime.Gosched()
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	must(t, release())
	wg.Wait()
	must(t, <-closed)
	for name, err := range map[string]error{
		"put":    b.Put(t.Context(), "k", nil, 0),
		"swap":   b.CompareAndSwap(t.Context(), "k", state.Swap{}),
		"delete": b.Delete(t.Context(), "k"),
		"get":    func() error { _, err := b.Get(t.Context(), "k"); return err }(),
		"scan":   func() error { _, err := b.Scan(t.Context(), state.Range{Limit: 1}); return err }(),
	} {
		if !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("%s after Close = %v, want ErrUnavailable", name, err)
		}
	}
	again := openBolt(t, path)
	for i, err := range errs {
		_, found := again.Get(t.Context(), fmt.Sprint(i))
		if err == nil && found != nil || err != nil && !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("write %d answered %v and then reads as %v", i, err, found)
		}
	}
}

// TestBoltSweep fills more than one batch of the sweeper, in a time of its own.
func TestBoltSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBolt(t)
		var wg sync.WaitGroup
		for i := range 2*state.SweepBatch + 1 {
			wg.Go(func() {
				if err := b.Put(t.Context(), fmt.Sprintf("due/%d", i), nil, time.Second); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		must(t, b.Put(t.Context(), "renewed", nil, time.Second))
		must(t, b.Put(t.Context(), "renewed", nil, time.Hour))
		must(t, b.Put(t.Context(), "kept", nil, time.Second))
		must(t, b.Put(t.Context(), "kept", nil, 0))
		must(t, b.Put(t.Context(), "deleted", nil, time.Hour))
		must(t, b.Delete(t.Context(), "deleted"))
		wantRows(t, b, 2*state.SweepBatch+3, 2*state.SweepBatch+2)

		time.Sleep(2 * time.Second)
		if got, err := b.Scan(t.Context(), state.Range{Limit: 10}); err != nil || len(got) != 2 {
			t.Errorf("before the sweep %d entries are visible, %v, want 2", len(got), err)
		}
		wantRows(t, b, 2*state.SweepBatch+3, 2*state.SweepBatch+2)

		time.Sleep(state.SweepEvery)
		synctest.Wait()
		wantRows(t, b, 2, 1)

		time.Sleep(time.Hour)
		synctest.Wait()
		wantRows(t, b, 1, 0)
	})
}

func wantRows(t *testing.T, b *state.Bolt, entries, expiries int) {
	t.Helper()
	got, err := b.Rows()
	must(t, err)
	if diff := cmp.Diff([2]int{entries, expiries}, got); diff != "" {
		t.Errorf("entries and expiries in the file (-want +got):\n%s", diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package statetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/state"
)

// inParallel runs fn(0) to fn(n-1), a hundred at a time, and fails on the first error.
func inParallel(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	var next atomic.Int64
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for range min(n, 100) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := fn(i); err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
}

// increment adds one to the decimal number under key, starting at nothing.
func increment(ctx context.Context, s state.Store, key string) error {
	for {
		old, err := s.Get(ctx, key)
		if errors.Is(err, state.ErrNotFound) {
			old = nil
		} else if err != nil {
			return err
		}
		n := 0
		if old != nil {
			if n, err = strconv.Atoi(string(old)); err != nil {
				return err
			}
		}
		swap := state.Swap{Old: old, New: strconv.AppendInt(nil, int64(n+1), 10), TTL: time.Hour}
		if err = s.CompareAndSwap(ctx, key, swap); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

func testSwapCounter(t *testing.T, s state.Store) {
	const increments = 100
	inParallel(t, increments, func(int) error { return increment(t.Context(), s, "counter") })
	wantValue(t, s, "counter", strconv.Itoa(increments))
}

// testSwapByOne lets many swap from the same value at once: one does, the others are
// told so.
func testSwapByOne(t *testing.T, s state.Store) {
	var old []byte
	for round := range 10 {
		var winner atomic.Pointer[string]
		inParallel(t, 20, func(i int) error {
			mine := fmt.Sprintf("%d by %d", round, i)
			err := s.CompareAndSwap(t.Context(), "k", state.Swap{Old: old, New: []byte(mine)})
			if errors.Is(err, state.ErrConflict) {
				return nil
			}
			if err == nil && winner.Swap(&mine) != nil {
				return fmt.Errorf("round %d: two swaps from %q succeeded", round, old)
			}
			return err
		})
		if winner.Load() == nil {
			t.Fatalf("round %d: no swap from %q succeeded", round, old)
		}
		old = []byte(*winner.Load())
		wantValue(t, s, "k", string(old))
	}
}

// testConcurrentKeys has everyone write, read back and delete keys of their own while
// others scan: all see their own writes, and scans are always in order.
func testConcurrentKeys(t *testing.T, s state.Store) {
	ctx := t.Context()
	inParallel(t, 200, func(i int) error {
		if i%10 == 0 {
			return scanInOrder(ctx, s)
		}
		for n := range 5 {
			key, value := fmt.Sprintf("own/%d/%d", i, n), fmt.Sprintf("%d of %d", n, i)
			if err := s.Put(ctx, key, []byte(value), 0); err != nil {
				return err
			}
			if got, err := s.Get(ctx, key); err != nil || string(got) != value {
				return fmt.Errorf("Get(%q) = %q, %w, want %q", key, got, err, value)
			}
			if n == 0 {
				continue
			}
			if err := s.Delete(ctx, key); err != nil {
				return err
			}
			if got, err := s.Get(ctx, key); !errors.Is(err, state.ErrNotFound) {
				return fmt.Errorf("Get(%q) = %q, %w, want ErrNotFound", key, got, err)
			}
		}
		return nil
	})
	entries, err := s.Scan(ctx, state.Range{Prefix: "own/", Limit: 1000})
	if err != nil || len(entries) != 180 {
		t.Errorf("%d keys are left, %v, want 180", len(entries), err)
	}
}

func scanInOrder(ctx context.Context, s state.Store) error {
	entries, err := s.Scan(ctx, state.Range{Prefix: "own/", Limit: 1000})
	if err != nil {
		return err
	}
	for i := 1; i < len(entries); i++ {
		if entries[i-1].Key >= entries[i].Key {
			return fmt.Errorf("scan: %q comes before %q", entries[i-1].Key, entries[i].Key)
		}
	}
	return nil
}

// testContext calls with contexts that have ended: each call returns the context's
// error and changes nothing.
func testContext(t *testing.T, s state.Store) {
	put(t, s, "k", "v")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: late} {
		_, getErr := s.Get(ctx, "k")
		_, scanErr := s.Scan(ctx, state.Range{Limit: 1})
		for name, err := range map[string]error{
			"get":    getErr,
			"scan":   scanErr,
			"put":    s.Put(ctx, "k", []byte("w"), 0),
			"swap":   s.CompareAndSwap(ctx, "k", state.Swap{Old: []byte("v"), New: []byte("w")}),
			"delete": s.Delete(ctx, "k"),
		} {
			if !errors.Is(err, want) || errors.Is(err, state.ErrUnavailable) {
				t.Errorf("%s = %v, want %v alone", name, err, want)
			}
		}
	}
	wantValue(t, s, "k", "v")
}

// testContextWhileOn cancels calls at any moment, with buffers that are reused at once:
// every value read is whole, and the store works on.
func testContextWhileOn(t *testing.T, s state.Store) {
	inParallel(t, 200, func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Microsecond)
		defer cancel()
		value := []byte("aaaaaaaa")
		err := s.Put(ctx, "k", value, 0)
		copy(value, "bbbbbbbb")
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		old := []byte("aaaaaaaa")
		err = s.CompareAndSwap(ctx, "k", state.Swap{Old: old, New: []byte("aaaaaaaa")})
		copy(old, "bbbbbbbb")
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, state.ErrConflict) {
			return err
		}
		return nil
	})
	put(t, s, "after", "all")
	wantValue(t, s, "after", "all")
	got, err := s.Get(t.Context(), "k")
	if err == nil && !cmp.Equal(string(got), "aaaaaaaa") || err != nil && !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Get = %q, %v, want what was put", got, err)
	}
}

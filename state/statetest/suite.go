package statetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/state"
)

// patience is how long a test waits for what must happen sooner or later.
const patience = 20 * time.Second

// Run tests a store. open returns an empty one, and closes it in a cleanup of its t.
func Run(t *testing.T, open func(t *testing.T) state.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, state.Store){
		"get and put":      testGetPut,
		"own bytes":        testOwnBytes,
		"delete":           testDelete,
		"swap":             testSwap,
		"keys":             testKeys,
		"limits":           testLimits,
		"largest":          testLargest,
		"scan ranges":      testScanRanges,
		"scan paging":      testScanPaging,
		"scan many":        testScanMany,
		"expiry":           testExpiry,
		"expiry replaced":  testExpiryReplaced,
		"expiry of swap":   testExpiryOfSwap,
		"expiry and scan":  testExpiryAndScan,
		"swap counter":     testSwapCounter,
		"swap by one":      testSwapByOne,
		"concurrent keys":  testConcurrentKeys,
		"context":          testContext,
		"context while on": testContextWhileOn,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, s state.Store, key, value string) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func swap(t *testing.T, s state.Store, key string, swap state.Swap) {
	t.Helper()
	if err := s.CompareAndSwap(t.Context(), key, swap); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, s state.Store, key, want string) {
	t.Helper()
	got, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got == nil {
		t.Errorf("Get(%q) = nil, want a value that is not nil", key)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("Get(%q) (-want +got):\n%s", key, diff)
	}
}

func wantAbsent(t *testing.T, s state.Store, key string) {
	t.Helper()
	if got, err := s.Get(t.Context(), key); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Get(%q) = %q, %v, want ErrNotFound", key, got, err)
	}
}

func wantConflict(t *testing.T, s state.Store, key string, swap state.Swap) {
	t.Helper()
	if err := s.CompareAndSwap(t.Context(), key, swap); !errors.Is(err, state.ErrConflict) {
		t.Errorf("CompareAndSwap(%q, %q -> %q) = %v, want ErrConflict", key, swap.Old, swap.New, err)
	}
}

// wantRefused wants an error that is none of the sentinels and none of a context.
func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
	}
	for _, not := range []error{
		state.ErrNotFound, state.ErrConflict, state.ErrUnavailable, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, not) {
			t.Errorf("%s: %v is a %v", what, err, not)
		}
	}
}

// wantScan compares the entries of r, given as key=value.
func wantScan(t *testing.T, s state.Store, r state.Range, want ...string) {
	t.Helper()
	entries, err := s.Scan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.Value == nil {
			t.Errorf("Scan(%+v): value of %q is nil", r, e.Key)
		}
		got = append(got, e.Key+"="+string(e.Value))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Scan(%+v) (-want +got):\n%s", r, diff)
	}
}

// eventually waits until ok, which must come true with time alone.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %s: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// eventuallyAbsent waits until key has expired.
func eventuallyAbsent(t *testing.T, s state.Store, key string) {
	t.Helper()
	eventually(t, key+" has expired", func() bool {
		_, err := s.Get(t.Context(), key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			t.Fatal(err)
		}
		return err != nil
	})
}

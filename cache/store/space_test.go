package store_test

import (
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/cache/store"
)

// TestMinFree: space of the file system is left to others, and made by eviction.
func TestMinFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := limited(t, dir, store.Limits{})
		var others atomic.Int64 // bytes left by others, of which each file takes a block
		others.Store(10_000_000)
		s.SetFree(func() (int64, error) { return others.Load() - 4096*s.Usage().Objects, nil })
		s.Limit(store.Limits{MinFree: 1_000_000})
		keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		wantHeld(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		others.Store(1_000_000 + 9*4096 - 1) // one too little, and then it is to be a tenth more
		time.Sleep(10 * time.Second)
		wantHeld(t, s)
		keepAll(t, s, 0)
		synctest.Wait() // the keeper looks at that very moment
		others.Store(900_000)
		if _, err := s.Stage(t.Context(), 1000); !errors.Is(err, store.ErrFull) {
			t.Errorf("a full disk: %v, want ErrFull", err)
		}
		wantHeld(t, s, 0)
		wantTree(t, dir, s)
		others.Store(2_000_000)
		keepAll(t, s, 0, 1)
		wantHeld(t, s, 0, 1)
	})
}

// TestNoRoomInTheFileSystem: nothing is evicted for what would not fit on the disk when all
// was gone; what just would gets its room.
func TestNoRoomInTheFileSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, t.TempDir(), store.Limits{})
		s.SetFree(func() (int64, error) { return 10_000_000 - 4096*s.Usage().Objects, nil })
		s.Limit(store.Limits{MinFree: 1_000_000})
		keepAll(t, s, 0, 1, 2)
		for _, size := range []int64{9_010_000, 1 << 40, math.MaxInt64} {
			if _, err := s.Stage(t.Context(), size); !errors.Is(err, store.ErrFull) {
				t.Errorf("%d bytes: %v, want ErrFull", size, err)
			}
			wantHeld(t, s, 0, 1, 2)
		}
		staged, err := s.Stage(t.Context(), 9_000_000)
		if err != nil {
			t.Fatal(err)
		}
		discarded(t, staged)
		wantHeld(t, s)
	})
}

// TestSpaceIsFreeLater: some file systems free space a moment after the file is gone. Who
// waits for it is not refused before, and no more goes meanwhile.
func TestSpaceIsFreeLater(t *testing.T) {
	for name, test := range map[string]struct {
		after time.Duration
		want  error
	}{"in time": {900 * time.Millisecond, nil}, "too late": {1100 * time.Millisecond, store.ErrFull}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := limited(t, t.TempDir(), store.Limits{})
				var later atomic.Int64 // free only then
				s.SetFree(func() (int64, error) {
					if was := later.Load(); was > 0 && time.Now().UnixNano() < was {
						return 10_000, nil
					}
					return 10_000 + 4096*(9-s.Usage().Objects), nil
				})
				keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
				s.Limit(store.Limits{MinFree: 5000})
				later.Store(time.Now().Add(test.after).UnixNano())
				staged, err := s.Stage(t.Context(), 6000)
				if !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if err == nil {
					discarded(t, staged)
				}
				wantHeld(t, s, 1, 2, 3, 4, 5, 6, 7, 8)
			})
		})
	}
}

// TestFreeSpaceThatComesLate: files that somebody reads free nothing. That is no reason to
// evict all there is.
func TestFreeSpaceThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, t.TempDir(), store.Limits{})
		s.SetFree(func() (int64, error) { return 1_000_000, nil })
		keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		s.Limit(store.Limits{MinFree: 1_000_001})
		// A tenth of the limit on top would be 25 blocks: all of it.
		wantHeld(t, s)
	})
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, t.TempDir(), store.Limits{})
		s.SetFree(func() (int64, error) { return 10_000, nil })
		keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		s.Limit(store.Limits{MinFree: 10_001})
		// A thousand bytes and a bit: one block.
		wantHeld(t, s, 1, 2, 3, 4, 5, 6, 7, 8)
	})
}

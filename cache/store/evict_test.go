package store_test

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// kilo is content of a thousand bytes, the nth.
func kilo(n int) storetest.Content { return storetest.Random(uint64(n), 1000) }

// limited opens a store with limits, and closes it with the bubble.
func limited(t *testing.T, dir string, l store.Limits) *store.Disk {
	t.Helper()
	s, err := store.OpenDisk(dir, store.DiskOptions{Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

// keepAll commits the nth kilobytes, a second apart.
func keepAll(t *testing.T, s *store.Disk, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		time.Sleep(time.Second)
		mustKeep(t, s, kilo(n))
	}
}

func use(t *testing.T, s *store.Disk, n int) {
	t.Helper()
	time.Sleep(time.Second)
	wantWhole(t, s, kilo(n).Digest)
}

// held lists which of the first kilobytes are held, once eviction has come to rest.
func held(t *testing.T, s *store.Disk) []int {
	t.Helper()
	synctest.Wait()
	var numbers []int
	for n := range 50 {
		_, err := s.Stat(t.Context(), kilo(n).Digest)
		if err == nil {
			numbers = append(numbers, n)
		} else if !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	return numbers
}

func wantHeld(t *testing.T, s *store.Disk, want ...int) {
	t.Helper()
	if diff := cmp.Diff(want, held(t, s)); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
}

// TestEviction walks through what goes when. Ten kilobytes may be held; nothing goes up to
// 9.8 of them, and then it goes down to 9.5.
func TestEviction(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, s *store.Disk)
		want []int
	}{
		{"below the mark nothing goes", func(t *testing.T, s *store.Disk) { keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8) }, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"the oldest goes first", func(t *testing.T, s *store.Disk) { keepAll(t, s, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0) }, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"a use counts, though it is not written yet", func(t *testing.T, s *store.Disk) {
			keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			use(t, s, 0)
			s.Use(kilo(2).Digest)
			keepAll(t, s, 9, 10)
		}, []int{0, 2, 4, 5, 6, 7, 8, 9, 10}},
		{"a look does not", func(t *testing.T, s *store.Disk) {
			keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			f, _, err := s.Inspect(t.Context(), kilo(0).Digest)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			keepAll(t, s, 9)
		}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"what is large takes the place of many", func(t *testing.T, s *store.Disk) {
			keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			mustKeep(t, s, storetest.Random(100, 7500))
		}, []int{7, 8}},
		{"everything goes for what fills the store", func(t *testing.T, s *store.Disk) {
			keepAll(t, s, 0, 1, 2)
			mustKeep(t, s, storetest.Random(100, 10_000))
		}, nil},
		{"a size that was not known", func(t *testing.T, s *store.Disk) {
			keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			c := storetest.Random(100, 4000)
			staged, err := s.Stage(t.Context(), -1)
			if err != nil {
				t.Fatal(err)
			}
			for part := range slices.Chunk(c.Bytes, 100) {
				if _, err := staged.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if err := staged.Commit(t.Context(), c.Digest); err != nil {
				t.Error(err)
			}
			discarded(t, staged)
		}, []int{4, 5, 6, 7, 8}},
		{"what is deleted needs not go", func(t *testing.T, s *store.Disk) {
			keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			if err := s.Delete(t.Context(), kilo(5).Digest); err != nil {
				t.Fatal(err)
			}
			keepAll(t, s, 9)
		}, []int{0, 1, 2, 3, 4, 6, 7, 8, 9}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				s := limited(t, dir, store.Limits{MaxBytes: 10_000})
				test.do(t, s)
				wantHeld(t, s, test.want...)
				wantTree(t, dir, s)
			})
		})
	}
}

// wantTree compares the files with the records, and the totals with both.
func wantTree(t *testing.T, dir string, s *store.Disk) {
	t.Helper()
	synctest.Wait()
	sizes := map[digest.Digest]int64{}
	want := store.Usage{}
	for _, o := range objects(t, s, "") {
		sizes[o.Digest] = o.Size
		want.Objects++
		want.Bytes += o.Size
	}
	got := map[digest.Digest]int64{}
	for _, d := range onDisk(t, dir) {
		got[d] = wantWhole(t, s, d)
	}
	if diff := cmp.Diff(sizes, got); diff != "" {
		t.Errorf("files (-recorded +lying there):\n%s", diff)
	}
	wantUsage(t, s, want)
}

// TestEvictionKeepsReaders: who has opened content reads it to its end.
func TestEvictionKeepsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, t.TempDir(), store.Limits{MaxBytes: 10_000})
		keepAll(t, s, 0)
		r, _, err := s.Open(t.Context(), kilo(0).Digest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		mustKeep(t, s, storetest.Random(100, 9500))
		wantHeld(t, s)
		if b, err := io.ReadAll(r); err != nil || digest.FromBytes(b) != kilo(0).Digest {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		mustKeep(t, s, kilo(0))
		wantHeld(t, s, 0)
	})
}

// TestRecencySurvives restarts: in order, within the resolution as well, and whatever the
// clock said before. The bubble's clock stands at the year 2000.
func TestRecencySurvives(t *testing.T) {
	fill := func(t *testing.T, dir string) {
		s, err := store.OpenDisk(dir, store.DiskOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 9 {
			mustKeep(t, s, kilo(n))
		}
		wantWhole(t, s, kilo(0).Digest)
		s.Use(kilo(1).Digest)
		mustClose(t, s)
	}
	evict := func(t *testing.T, dir string) {
		s := limited(t, dir, store.Limits{MaxBytes: 10_000})
		use(t, s, 2)
		keepAll(t, s, 9, 10)
		wantHeld(t, s, 0, 1, 2, 5, 6, 7, 8, 9, 10)
		// What comes now is newer than all there was.
		keepAll(t, s, 11)
		wantHeld(t, s, 0, 1, 2, 6, 7, 8, 9, 10, 11)
	}
	t.Run("a clock set back", func(t *testing.T) {
		dir := t.TempDir()
		fill(t, dir)
		synctest.Test(t, func(t *testing.T) { evict(t, dir) })
	})
	t.Run("a clock that ran on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			s := limited(t, dir, store.Limits{})
			for n := range 9 {
				keepAll(t, s, n)
			}
			use(t, s, 0)
			use(t, s, 1)
			mustClose(t, s)
			time.Sleep(20 * 365 * 24 * time.Hour)
			evict(t, dir)
		})
	})
}

// TestLimitAtRunTime: a smaller limit is kept to at once, and none is none.
func TestLimitAtRunTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, t.TempDir(), store.Limits{})
		keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		wantHeld(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		s.Limit(store.Limits{MaxBytes: 4300})
		wantHeld(t, s, 5, 6, 7, 8)
		s.Limit(store.Limits{})
		keepAll(t, s, 0, 1)
		wantHeld(t, s, 0, 1, 5, 6, 7, 8)
		s.Limit(store.Limits{MaxBytes: 1})
		wantHeld(t, s)
	})
}

// TestFull: who cannot be given room is told so, and nothing is evicted for it.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, t.TempDir(), store.Limits{MaxBytes: 10_000})
		keepAll(t, s, 0, 1)
		if _, err := s.Stage(t.Context(), 10_001); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "10001") {
			t.Errorf("more than the limit: %v, want ErrFull", err)
		}
		wantHeld(t, s, 0, 1)
		first, err := s.Stage(t.Context(), 7000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stage(t.Context(), 3001); !errors.Is(err, store.ErrFull) {
			t.Errorf("beside what is reserved: %v, want ErrFull", err)
		}
		wantHeld(t, s, 0, 1)
		grown, err := s.Stage(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := grown.Write(make([]byte, 3001)); !errors.Is(err, store.ErrFull) {
			t.Errorf("a write beyond the limit: %v, want ErrFull", err)
		}
		wantHeld(t, s, 1)
		discarded(t, grown)
		discarded(t, first)
		mustKeep(t, s, storetest.Random(100, 9000))
	})
}

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

// TestEverythingInUse: where all that is held is used all the time, the newcomer gets its
// room all the same.
func TestEverythingInUse(t *testing.T) {
	s := limited(t, t.TempDir(), store.Limits{MaxBytes: 10_000})
	for n := range 9 {
		mustKeep(t, s, kilo(n))
	}
	stop := make(chan struct{})
	var users sync.WaitGroup
	for n := range 9 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.Use(kilo(n).Digest)
				}
			}
		})
	}
	mustKeep(t, s, storetest.Random(100, 8000))
	close(stop)
	users.Wait()
	wantWhole(t, s, storetest.Random(100, 8000).Digest)
}

// TestManyAtOnce: the limit holds at every moment, whatever comes at once.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := limited(t, dir, store.Limits{MaxBytes: 100_000})
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := range 40 {
				err := keep(s, storetest.Random(uint64(w*100+i), 1+(w*977+i*331)%9000))
				if err != nil && !errors.Is(err, store.ErrFull) {
					t.Error(err)
				}
				if got := s.Usage().Bytes; got > 100_000 {
					t.Errorf("%d bytes are held", got)
				}
			}
		})
	}
	workers.Wait()
	mustClose(t, s)
	wantTreeOutside(t, dir)
}

// wantTreeOutside is wantTree for a store that is closed.
func wantTreeOutside(t *testing.T, dir string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { wantTree(t, dir, limited(t, dir, store.Limits{})) })
}

func TestEvictionMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewPedanticRegistry()
		s, err := store.OpenDisk(t.TempDir(), store.DiskOptions{Limits: store.Limits{MaxBytes: 10_000}, Metrics: store.NewMetrics(r)})
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, s)
		keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		staged, err := s.Stage(t.Context(), 3000)
		if err != nil {
			t.Fatal(err)
		}
		defer discarded(t, staged)
		time.Sleep(11 * time.Second) // it is the twentieth by now: looked at every tenth
		synctest.Wait()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			m := f.GetMetric()[0]
			got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		want := map[string]float64{
			"berth_evicted_objects_total": 3, "berth_evicted_bytes_total": 3000, "berth_content_limit_bytes": 10000,
			"berth_content_reserved_bytes": 3000, "berth_content_oldest_use_seconds": 16,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

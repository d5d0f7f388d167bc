package store_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

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

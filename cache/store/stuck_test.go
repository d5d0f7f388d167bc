package store_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	bolt "go.etcd.io/bbolt"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// blocked puts a file where the folder of the nth kilobyte was, so that nothing in there can
// be looked at or removed, until the function that it returns is called.
func blocked(t *testing.T, dir string, n int) (unblock func()) {
	t.Helper()
	folder := filepath.Join(dir, "sha256", kilo(n).Digest.Encoded()[:2])
	if err := os.Rename(folder, folder+"~"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	touch(t, folder)
	return func() {
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(folder+"~", folder); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// TestReplayOfWhatIsStuck: what cannot be looked at or removed keeps no store from opening,
// and nothing else from being carried out. It stays noted.
func TestReplayOfWhatIsStuck(t *testing.T) {
	for _, bucket := range []string{"arrived", "doomed"} {
		t.Run(bucket, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { keepAll(t, limited(t, dir, store.Limits{}), 0) })
			if bucket == "arrived" {
				synctest.Test(t, func(t *testing.T) { keepAll(t, limited(t, dir, store.Limits{}), 1) })
				noted(t, dir, bucket, kilo(1))
			} else {
				writeFile(t, dir, kilo(1))
				noted(t, dir, bucket, kilo(1))
			}
			noted(t, dir, "doomed", kilo(2))
			writeFile(t, dir, kilo(2))
			unblock := blocked(t, dir, 1)
			s := openDisk(t, dir)
			wantWhole(t, s, kilo(0).Digest)
			wantNotFound(t, s, kilo(2).Digest)
			unblock()
			if bucket == "arrived" {
				wantWhole(t, s, kilo(1).Digest)
			} else {
				wantNotFound(t, s, kilo(1).Digest) // it is not taken for content whose record was lost
			}
			mustClose(t, s)
			mustClose(t, openDisk(t, dir))
			wantNothingNoted(t, dir)
			synctest.Test(t, func(t *testing.T) { wantTree(t, dir, limited(t, dir, store.Limits{})) })
		})
	}
}

// TestEvictionOfWhatIsStuck: what cannot be removed stays, recorded and counted. Where that
// is everything, everything stays.
func TestEvictionOfWhatIsStuck(t *testing.T) {
	for name, test := range map[string]struct{ stuck, left []int }{
		"all":  {[]int{0, 1, 2, 3}, []int{0, 1, 2, 3}},
		"some": {[]int{0, 2}, []int{0, 2}},
		"none": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				s := limited(t, dir, store.Limits{})
				s.SetFree(func() (int64, error) { return 1000, nil })
				keepAll(t, s, 0, 1, 2, 3)
				var unblock []func()
				for _, n := range test.stuck {
					unblock = append(unblock, blocked(t, dir, n))
				}
				s.Limit(store.Limits{MinFree: 1 << 30})
				wantHeld(t, s, test.left...)
				wantUsage(t, s, store.Usage{Objects: int64(len(test.left)), Bytes: 1000 * int64(len(test.left))})
				s.Limit(store.Limits{})
				for _, f := range unblock {
					f()
				}
				wantTree(t, dir, s)
				s.Limit(store.Limits{MaxBytes: 100})
				wantHeld(t, s)
			})
		})
	}
}

// TestUseOfNothing: an order of uses that makes no sense ends no process; the log says what
// to do.
func TestUseOfNothing(t *testing.T) {
	for _, entry := range []string{"\x00", "\x00\x00\x00\x00\x00\x00\x00\x01", "\x00\x00\x00\x00\x00\x00\x00\x01\x07"} {
		dir := t.TempDir()
		mustKeepIn(t, dir, kilo(0))
		db, err := bolt.Open(filepath.Join(dir, "index.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("recency")).Put([]byte(entry), nil) })
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		synctest.Test(t, func(t *testing.T) {
			s, err := store.OpenDisk(dir, store.DiskOptions{Limits: store.Limits{MaxBytes: 100}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			wantHeld(t, s, 0)
			mustClose(t, s)
		})
		if !strings.Contains(log.String(), "berth check --repair") {
			t.Errorf("the log: %s", log.String())
		}
	}
}

func mustKeepIn(t *testing.T, dir string, c storetest.Content) {
	t.Helper()
	s := openDisk(t, dir)
	mustKeep(t, s, c)
	mustClose(t, s)
}

// TestIndexLost: content that no index knows is told of, at the start alone.
func TestIndexLost(t *testing.T) {
	dir := t.TempDir()
	mustKeepIn(t, dir, kilo(0))
	for _, test := range []struct {
		lost bool
		want int
	}{{false, 0}, {true, 1}} {
		if test.lost {
			if err := os.Remove(filepath.Join(dir, "index.db")); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		s, err := store.OpenDisk(dir, store.DiskOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		if got := strings.Count(log.String(), "berth check --repair"); got != test.want {
			t.Errorf("lost %t: the log: %s", test.lost, log.String())
		}
	}
}

// TestTooLarge: content that is larger than the limit is another matter than a full store.
func TestTooLarge(t *testing.T) {
	s := limited(t, t.TempDir(), store.Limits{MaxBytes: 1000})
	if _, err := s.Stage(t.Context(), 1001); !errors.Is(err, store.ErrTooLarge) || !errors.Is(err, store.ErrFull) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	staged, err := s.Stage(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	defer discarded(t, staged)
	if _, err := s.Stage(t.Context(), 600); errors.Is(err, store.ErrTooLarge) || !errors.Is(err, store.ErrFull) {
		t.Errorf("%v, want ErrFull alone", err)
	}
}

package cache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// openIn is a store in dir, which the caller closes.
func openIn(t *testing.T, dir string) *store.Disk {
	t.Helper()
	s, err := store.OpenDisk(dir, store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *store.Disk) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// held commits content to s.
func held(t *testing.T, s store.Store, contents ...storetest.Content) {
	t.Helper()
	for _, c := range contents {
		staged, err := s.Stage(t.Context(), int64(len(c.Bytes)))
		if err == nil {
			_, err = staged.Write(c.Bytes)
		}
		if err == nil {
			err = staged.Commit(t.Context(), c.Digest)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fileOf is where content lies below a store's folder.
func fileOf(dir string, d digest.Digest) string {
	return filepath.Join(dir, string(d.Algorithm()), d.Encoded()[:2], d.Encoded())
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// flipped is b with one bit of it changed.
func flipped(b []byte, at int) []byte {
	b = append([]byte{}, b...)
	b[at] ^= 4
	return b
}

func TestRepair(t *testing.T) {
	good, large, flip := storetest.Random(1, 1000), storetest.Random(2, 1<<20), storetest.Random(3, 600_000)
	cut, empty, gone, none := storetest.Random(4, 5000), storetest.Random(5, 5000), storetest.Random(6, 5000), storetest.Random(7, 0)
	for _, index := range []string{"kept", "lost"} {
		t.Run("index "+index, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, dir)
			held(t, s, good, large, flip, cut, empty, gone, none)
			closeStore(t, s)
			write(t, fileOf(dir, flip.Digest), flipped(flip.Bytes, 500_000))
			write(t, fileOf(dir, cut.Digest), cut.Bytes[:4999])
			write(t, fileOf(dir, empty.Digest), nil)
			stranger := fileOf(dir, good.Digest) + ".txt"
			write(t, stranger, []byte("not of ours"))
			if err := os.Remove(fileOf(dir, gone.Digest)); err != nil {
				t.Fatal(err)
			}
			want := cache.Repaired{Objects: 3, Bytes: 1000 + 1<<20, Damaged: 3, Gone: 1}
			if index == "lost" {
				want.Gone = 0
				if err := os.Remove(filepath.Join(dir, "index.db")); err != nil {
					t.Fatal(err)
				}
			}
			s = openIn(t, dir)
			var told cache.Repaired
			got, err := cache.Repair(t.Context(), s, func(r cache.Repaired) { told = r })
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("found (-want +got), %v:\n%s", err, diff)
			}
			if told.Objects == 0 || told.Bytes == 0 {
				t.Errorf("told %+v meanwhile", told)
			}
			if diff := cmp.Diff(store.Usage{Objects: 3, Bytes: 1000 + 1<<20}, s.Usage()); diff != "" {
				t.Errorf("the index counts (-want +got):\n%s", diff)
			}
			if _, err := os.Stat(stranger); err != nil {
				t.Errorf("a stranger's file: %v", err)
			}
			for _, d := range []digest.Digest{flip.Digest, cut.Digest, empty.Digest, gone.Digest} {
				if _, err := os.Stat(fileOf(dir, d)); !os.IsNotExist(err) {
					t.Errorf("a damaged file: %v", err)
				}
			}
			again, err := cache.Repair(t.Context(), s, func(cache.Repaired) {})
			if diff := cmp.Diff(cache.Repaired{Objects: 3, Bytes: 1000 + 1<<20}, again); diff != "" || err != nil {
				t.Errorf("the second time (-want +got), %v:\n%s", err, diff)
			}
			closeStore(t, s)
		})
	}
}

func TestRepairThatIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	defer closeStore(t, s)
	contents := []storetest.Content{storetest.Random(1, 1000), storetest.Random(2, 1000), storetest.Random(3, 1000)}
	held(t, s, contents...)
	ctx, stop := context.WithCancelCause(t.Context())
	got, err := cache.Repair(ctx, s, func(r cache.Repaired) {
		if r.Objects == 1 {
			stop(errLeft)
		}
	})
	if !errors.Is(err, context.Canceled) || got.Objects == 3 || got.Damaged > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if s.Usage().Objects != 3 {
		t.Errorf("%+v are left", s.Usage())
	}
}

// What cannot be read or removed is told, and keeps nothing else from being repaired.
func TestRepairOfWhatCannotBeRead(t *testing.T) {
	good, unread, bad := storetest.Random(1, 1000), storetest.Random(2, 1000), storetest.Random(3, 1000)
	for name, test := range map[string]struct {
		op string
		of digest.Digest
		// bad tells whether there is damage, too.
		bad  bool
		want cache.Repaired
	}{
		"not read":    {"inspect", unread.Digest, true, cache.Repaired{Objects: 1, Bytes: 1000, Damaged: 1, Failed: 1}},
		"not removed": {"delete", bad.Digest, true, cache.Repaired{Objects: 2, Bytes: 2000, Failed: 1}},
		"nothing":     {"", "", false, cache.Repaired{Objects: 3, Bytes: 3000}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(good, unread, bad)
			if test.bad {
				s.contents[bad.Digest] = flipped(bad.Bytes, 5)
			}
			s.fault = func(op string, d digest.Digest) (bool, error) { return op != test.op || d != test.of, syscall.EIO }
			got, err := cache.Repair(t.Context(), s, func(cache.Repaired) {})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			if failed := test.want.Failed > 0; errors.Is(err, syscall.EIO) != failed || (err != nil) != failed {
				t.Errorf("error %v", err)
			}
		})
	}
}

package store_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

func openDisk(t *testing.T, dir string) *store.Disk {
	t.Helper()
	s, err := store.OpenDisk(dir, store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func mustClose(t *testing.T, s *store.Disk) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// keep commits c, from any process.
func keep(s store.Store, c storetest.Content) (err error) {
	ctx := context.Background()
	staged, err := s.Stage(ctx, int64(len(c.Bytes)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, staged.Discard()) }()
	if _, err := staged.Write(c.Bytes); err != nil {
		return err
	}
	return staged.Commit(ctx, c.Digest)
}

func remove(s store.Store, d digest.Digest) error { return s.Delete(context.Background(), d) }

func discarded(t *testing.T, staged store.Staged) {
	t.Helper()
	if err := staged.Discard(); err != nil {
		t.Errorf("Discard: %v", err)
	}
}

func mustKeep(t *testing.T, s store.Store, c storetest.Content) {
	t.Helper()
	if err := keep(s, c); err != nil {
		t.Fatal(err)
	}
}

// wantWhole reads d, compares its digest and returns its size.
func wantWhole(t *testing.T, s store.Store, d digest.Digest) int64 {
	t.Helper()
	r, size, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size || d.Algorithm().FromBytes(b) != d {
		t.Fatalf("%s: %d of %d bytes, digest %s, %v", d, len(b), size, d.Algorithm().FromBytes(b), err)
	}
	return size
}

func wantStaged(t *testing.T, staged store.Staged, c storetest.Content) {
	t.Helper()
	r, err := staged.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || digest.FromBytes(b) != c.Digest {
		t.Fatalf("staged content: %d bytes, %v", len(b), err)
	}
}

func wantNotFound(t *testing.T, s store.Store, d digest.Digest) {
	t.Helper()
	if _, _, err := s.Open(t.Context(), d); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Open: %v, want ErrNotFound", err)
	}
}

func wantUsage(t *testing.T, s store.Store, want store.Usage) {
	t.Helper()
	if got := s.Usage(); got != want {
		t.Errorf("Usage %+v, want %+v", got, want)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func touch(t *testing.T, file string) string {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
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

// wantTreeOutside is wantTree for a store that is closed.
func wantTreeOutside(t *testing.T, dir string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { wantTree(t, dir, limited(t, dir, store.Limits{})) })
}

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

package store_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

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

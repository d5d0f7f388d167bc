package storetest

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

func testInvisible(t *testing.T, s store.Store) {
	c := Random(1, 5000)
	staged := stage(t, s, c.Bytes)
	wantAbsent(t, s, c.Digest)
	wantUsage(t, s)
	if err := staged.Commit(t.Context(), c.Digest); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, s, c)
}

func testSizeHint(t *testing.T, s store.Store) {
	for i, hint := range []int64{-1, 0, 100, 4 << 20} {
		c := Random(uint64(i), 2<<20)
		staged, err := s.Stage(t.Context(), hint)
		if err != nil {
			t.Fatalf("Stage of %d: %v", hint, err)
		}
		write(t, staged, c.Bytes)
		wantRead(t, openStaged(t, staged), c.Bytes)
		if err := staged.Commit(t.Context(), c.Digest); err != nil {
			t.Fatalf("Commit after a hint of %d: %v", hint, err)
		}
		wantHeld(t, s, c)
	}
}

func testDiscard(t *testing.T, s store.Store) {
	c := Random(1, 5000)
	staged := stage(t, s, c.Bytes)
	for range 2 {
		if err := staged.Discard(); err != nil {
			t.Fatalf("Discard: %v", err)
		}
	}
	if err := staged.Commit(t.Context(), c.Digest); err == nil {
		t.Error("Commit after Discard: no error")
	}
	wantAbsent(t, s, c.Digest)
	wantUsage(t, s)
}

func testDiscardAfterCommit(t *testing.T, s store.Store) {
	c := Random(1, 5000)
	commit(t, s, c) // discards
	wantHeld(t, s, c)
	wantUsage(t, s, c)
}

func testFollow(t *testing.T, s store.Store) {
	c := Random(1, 30_000)
	staged := stage(t, s, nil)
	early := openStaged(t, staged)
	wantRead(t, early, nil)
	for at := 0; at < len(c.Bytes); at += 10_000 {
		part := c.Bytes[at : at+10_000]
		write(t, staged, part)
		wantRead(t, early, part)
		wantRead(t, openStaged(t, staged), c.Bytes[:at+10_000])
	}
}

// testWriteAt writes from several goroutines, the end before the beginning.
func testWriteAt(t *testing.T, s store.Store) {
	const stretch = 700_000
	c := Random(1, 5*stretch-1)
	staged := stage(t, s, nil)
	r := openStaged(t, staged)
	writeAt := func(at int) {
		part := c.Bytes[at:min(at+stretch, len(c.Bytes))]
		if n, err := staged.WriteAt(part, int64(at)); n != len(part) || err != nil {
			t.Errorf("WriteAt %d: %d, %v", at, n, err)
		}
		got := make([]byte, len(part))
		if _, err := r.ReadAt(got, int64(at)); err != nil || string(got) != string(part) {
			t.Errorf("ReadAt %d: %v or other bytes", at, err)
		}
	}
	writeAt(4 * stretch)
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() { writeAt(i * stretch) })
	}
	writers.Wait()
	if err := staged.Commit(t.Context(), c.Digest); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	wantHeld(t, s, c)
}

func testStagedReaders(t *testing.T, s store.Store) {
	for _, end := range []struct {
		name string
		call func(staged store.Staged, d digest.Digest) error
	}{
		{"commit", func(staged store.Staged, d digest.Digest) error { return staged.Commit(t.Context(), d) }},
		{"discard", func(staged store.Staged, _ digest.Digest) error { return staged.Discard() }},
		{"commit and delete", func(staged store.Staged, d digest.Digest) error {
			return errors.Join(staged.Commit(t.Context(), d), s.Delete(t.Context(), d))
		}},
	} {
		c := Random(1, 30_000)
		staged := stage(t, s, c.Bytes)
		r := openStaged(t, staged)
		if _, err := io.CopyN(io.Discard, r, 10_000); err != nil {
			t.Fatalf("before %s: %v", end.name, err)
		}
		if err := end.call(staged, c.Digest); err != nil {
			t.Fatalf("%s: %v", end.name, err)
		}
		wantRead(t, r, c.Bytes[10_000:])
		if err := s.Delete(t.Context(), c.Digest); err != nil {
			t.Fatal(err)
		}
	}
}

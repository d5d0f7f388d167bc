package storetest

import (
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

func testCommit(t *testing.T, s store.Store) {
	for i, size := range []int{1, 111, 70_000, 3 << 20} {
		c := Random(uint64(i), size)
		wantAbsent(t, s, c.Digest)
		commit(t, s, c)
		wantHeld(t, s, c)
	}
}

func testEmpty(t *testing.T, s store.Store) {
	c := Random(0, 0)
	wantAbsent(t, s, c.Digest)
	commit(t, s, c)
	wantHeld(t, s, c)
	wantUsage(t, s, c)
}

func testSHA512(t *testing.T, s store.Store) {
	c := Random(1, 5000)
	c.Digest = digest.SHA512.FromBytes(c.Bytes)
	commit(t, s, c)
	wantHeld(t, s, c)
	wantAbsent(t, s, digest.SHA256.FromBytes(c.Bytes))
}

func testDrop(t *testing.T, s store.Store) {
	c, other := Random(1, 100), Random(2, 200)
	commit(t, s, c)
	commit(t, s, other)
	damaged := open(t, s, c)
	drop := func(want bool) {
		t.Helper()
		if dropped, err := s.Drop(t.Context(), c.Digest, damaged); err != nil || dropped != want {
			t.Fatalf("Drop: %t, %v, want %t", dropped, err, want)
		}
	}
	drop(true)
	wantAbsent(t, s, c.Digest)
	drop(false)
	commit(t, s, c)
	drop(false) // that is another
	wantHeld(t, s, c)
	wantUsage(t, s, c, other)
}

func testSecondCommit(t *testing.T, s store.Store) {
	c := Random(1, 5000)
	first, second := stage(t, s, c.Bytes), stage(t, s, c.Bytes)
	late := openStaged(t, second)
	for _, staged := range []store.Staged{first, second} {
		if err := staged.Commit(t.Context(), c.Digest); err != nil {
			t.Fatalf("Commit: %v", err)
		}
		wantHeld(t, s, c)
		wantUsage(t, s, c)
	}
	wantRead(t, late, c.Bytes)
}

func testReaderSurvivesDelete(t *testing.T, s store.Store) {
	c := Random(1, 30_000)
	commit(t, s, c)
	r := open(t, s, c)
	if err := s.Delete(t.Context(), c.Digest); err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, s, c.Digest)
	wantRead(t, r, c.Bytes)
}

func testSeek(t *testing.T, s store.Store) {
	c := Random(1, 30_000)
	commit(t, s, c)
	r := open(t, s, c)
	for _, seek := range []struct {
		offset int64
		whence int
		want   int64
	}{{20_000, io.SeekStart, 20_000}, {-10, io.SeekEnd, 29_990}, {-90, io.SeekCurrent, 29_900}} {
		at, err := r.Seek(seek.offset, seek.whence)
		if err != nil || at != seek.want {
			t.Fatalf("Seek(%d, %d): %d, %v, want %d", seek.offset, seek.whence, at, err, seek.want)
		}
		got := make([]byte, 10)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != string(c.Bytes[at:at+10]) {
			t.Fatalf("read at %d: %v or other bytes", at, err)
		}
		if _, err := r.Seek(-10, io.SeekCurrent); err != nil {
			t.Fatal(err)
		}
	}
	wantRead(t, io.NewSectionReader(r, 100, 200), c.Bytes[100:300])
	wantRead(t, r, c.Bytes[29_900:])
}

func testDelete(t *testing.T, s store.Store) {
	c, other := Random(1, 100), Random(2, 200)
	commit(t, s, c)
	commit(t, s, other)
	for range 2 {
		if err := s.Delete(t.Context(), c.Digest); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantAbsent(t, s, c.Digest)
		wantUsage(t, s, other)
	}
	commit(t, s, c)
	wantHeld(t, s, c)
	wantUsage(t, s, c, other)
}

func testUsage(t *testing.T, s store.Store) {
	wantUsage(t, s)
	var held []Content
	for i := range 10 {
		held = append(held, Random(uint64(i), i*1000))
		commit(t, s, held[i])
		wantUsage(t, s, held...)
	}
	for len(held) > 0 {
		if err := s.Delete(t.Context(), held[0].Digest); err != nil {
			t.Fatal(err)
		}
		held = held[1:]
		wantUsage(t, s, held...)
	}
}

// testUse: it changes nothing that anybody sees, whatever it is told.
func testUse(t *testing.T, s store.Store) {
	c, other := Random(1, 100), Random(2, 200)
	commit(t, s, c)
	for _, d := range []digest.Digest{c.Digest, other.Digest, "", "sha256:../../etc/passwd", "md5:00"} {
		s.Use(d)
	}
	wantHeld(t, s, c)
	wantAbsent(t, s, other.Digest)
	wantUsage(t, s, c)
	if err := s.Delete(t.Context(), c.Digest); err != nil {
		t.Fatal(err)
	}
	s.Use(c.Digest)
	wantAbsent(t, s, c.Digest)
	wantUsage(t, s)
}

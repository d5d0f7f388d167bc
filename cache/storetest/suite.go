package storetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// Run runs the suite. newStore makes an empty store and closes it with the test.
func Run(t *testing.T, newStore func(t *testing.T) store.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"committed content is held", testCommit},
		{"content of no bytes", testEmpty},
		{"sha512", testSHA512},
		{"staged content is invisible", testInvisible},
		{"size is a hint", testSizeHint},
		{"nothing is held of what was discarded", testDiscard},
		{"discard after commit does nothing", testDiscardAfterCommit},
		{"reader follows the writer", testFollow},
		{"stretches in any order", testWriteAt},
		{"reader of staged content survives", testStagedReaders},
		{"reader survives delete", testReaderSurvivesDelete},
		{"seek and read at", testSeek},
		{"delete", testDelete},
		{"second commit of one digest", testSecondCommit},
		{"usage", testUsage},
		{"use", testUse},
		{"concurrent commits", testConcurrentCommits},
		{"commit against delete", testCommitAgainstDelete},
		{"digests that are none", testBadDigests},
		{"context", testContext},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newStore(t)) })
	}
}

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

// testConcurrentCommits commits few digests from many goroutines, some of them the same.
func testConcurrentCommits(t *testing.T, s store.Store) {
	const digests, copies = 12, 4
	var held []Content
	for i := range digests {
		held = append(held, Random(uint64(i), 100+i*777))
	}
	var workers sync.WaitGroup
	for i := range digests * copies {
		workers.Go(func() {
			c := held[i%digests]
			staged, err := s.Stage(t.Context(), -1)
			if err != nil {
				t.Errorf("Stage: %v", err)
				return
			}
			if _, err := staged.Write(c.Bytes); err != nil {
				t.Errorf("Write: %v", err)
			}
			if err := staged.Commit(t.Context(), c.Digest); err != nil {
				t.Errorf("Commit: %v", err)
			}
			if err := staged.Discard(); err != nil {
				t.Errorf("Discard: %v", err)
			}
			r, _, err := s.Open(t.Context(), c.Digest)
			if err != nil {
				t.Errorf("Open right after Commit: %v", err)
				return
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	for _, c := range held {
		wantHeld(t, s, c)
	}
	wantUsage(t, s, held...)
}

// testCommitAgainstDelete: whoever wins, what Open gives is whole and the totals agree.
func testCommitAgainstDelete(t *testing.T, s store.Store) {
	c := Random(1, 20_000)
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for range 10 {
				staged, err := s.Stage(t.Context(), -1)
				if err != nil {
					t.Errorf("Stage: %v", err)
					return
				}
				if _, err := staged.Write(c.Bytes); err != nil {
					t.Errorf("Write: %v", err)
				}
				if err := staged.Commit(t.Context(), c.Digest); err != nil {
					t.Errorf("Commit: %v", err)
				}
				if err := staged.Discard(); err != nil {
					t.Errorf("Discard: %v", err)
				}
				if err := s.Delete(t.Context(), c.Digest); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
		workers.Go(func() {
			for range 50 {
				r, _, err := s.Open(t.Context(), c.Digest)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				b, err := io.ReadAll(r)
				if err != nil || digest.FromBytes(b) != c.Digest {
					t.Errorf("read %d bytes: %v", len(b), err)
				}
				_ = r.Close()
			}
		})
	}
	workers.Wait()
	if err := s.Delete(t.Context(), c.Digest); err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, s, c.Digest)
	wantUsage(t, s)
}

func testBadDigests(t *testing.T, s store.Store) {
	hex := strings.Repeat("ab", 32)
	for _, bad := range []digest.Digest{
		"", ":", "sha256:", digest.Digest(hex), "sha256:../../../../etc/passwd",
		digest.Digest("sha256:" + strings.ToUpper(hex)), digest.Digest("sha256:" + hex[1:]),
		digest.Digest("sha256:" + hex + "ab"), digest.Digest("sha256:" + hex[2:] + "/."),
		digest.Digest("sha512:" + hex), digest.Digest("md5:" + hex[:32]), digest.Digest("../" + hex),
		digest.Digest("sha256:" + hex[:62] + "\x00a"), digest.Digest("SHA256:" + hex), digest.Digest(" sha256:" + hex),
	} {
		if _, _, err := s.Open(t.Context(), bad); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Open %q: %v, want a refusal", bad, err)
		}
		if _, err := s.Stat(t.Context(), bad); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Stat %q: %v, want a refusal", bad, err)
		}
		if err := s.Delete(t.Context(), bad); err == nil {
			t.Errorf("Delete %q: no error", bad)
		}
		if err := stage(t, s, []byte("content")).Commit(t.Context(), bad); err == nil {
			t.Errorf("Commit %q: no error", bad)
		}
	}
	wantUsage(t, s)
}

func testContext(t *testing.T, s store.Store) {
	c, held := Random(1, 100), Random(2, 100)
	commit(t, s, held)
	gone, cancel := context.WithCancel(t.Context())
	staged := stage(t, s, c.Bytes)
	cancel()
	_, _, openErr := s.Open(gone, held.Digest)
	_, statErr := s.Stat(gone, held.Digest)
	_, stageErr := s.Stage(gone, 10)
	for call, err := range map[string]error{
		"Open": openErr, "Stat": statErr, "Stage": stageErr,
		"Delete": s.Delete(gone, held.Digest), "Commit": staged.Commit(gone, c.Digest),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", call, err)
		}
	}
	wantAbsent(t, s, c.Digest)
	wantHeld(t, s, held)
	if err := staged.Commit(t.Context(), c.Digest); err != nil {
		t.Errorf("Commit after a Commit that was too late: %v", err)
	}
	wantHeld(t, s, c)
}

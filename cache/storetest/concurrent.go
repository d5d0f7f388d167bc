package storetest

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// keep commits c for a goroutine of a test, and tells whether that could begin.
func keep(t *testing.T, s store.Store, c Content) bool {
	t.Helper()
	staged, err := s.Stage(t.Context(), -1)
	if err != nil {
		t.Errorf("Stage: %v", err)
		return false
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
	return true
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
			if !keep(t, s, c) {
				return
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
				if !keep(t, s, c) {
					return
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

package cache_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// opens counts how often a store is asked for its content.
func opens(t *testing.T) (c *cache.Contents, opened func() int) {
	var mu sync.Mutex
	n := 0
	s := &faulty{Store: openDisk(t), fault: func(op string, _ digest.Digest) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		if op == "open" {
			n++
		}
		return true, nil
	}}
	return newContents(t, s, cache.ContentOptions{MemoryBytes: 4 << 20}), func() int {
		mu.Lock()
		defer mu.Unlock()
		defer func() { n = 0 }()
		return n
	}
}

// Small content is read from the store once, whichever way it is asked for.
func TestSmallContentIsHeldInMemory(t *testing.T) {
	c, opened := opens(t)
	content := storetest.Random(1, 5000)
	if err := c.Put(t.Context(), content.Digest, content.Bytes); err != nil {
		t.Fatal(err)
	}
	opened()
	for range 3 {
		if b, err := c.ReadAll(t.Context(), content.Digest, 1<<20); err != nil || string(b) != string(content.Bytes) {
			t.Errorf("ReadAll: %d bytes, %v", len(b), err)
		}
		r, err := c.Open(t.Context(), content.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Seek(-1000, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != string(content.Bytes[4000:]) || !r.Complete() || r.Size() != 5000 {
			t.Errorf("Open: %d bytes, %v", len(b), err)
		}
		closeReader(t, r)
	}
	if n := opened(); n != 0 {
		t.Errorf("the store was opened %d times for what was just put there", n)
	}
	if _, err := c.ReadAll(t.Context(), content.Digest, 4999); !errors.Is(err, cache.ErrTooLarge) {
		t.Errorf("ReadAll beyond the limit: %v", err)
	}
	if err := c.Delete(t.Context(), content.Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), content.Digest); !errors.Is(err, cache.ErrNotHeld) {
		t.Errorf("Open after Delete: %v", err)
	}
}

// Large content stays where the kernel can send it from.
func TestLargeContentIsNot(t *testing.T) {
	c, opened := opens(t)
	content := storetest.Random(1, 128<<10+1)
	if err := c.Put(t.Context(), content.Digest, content.Bytes); err != nil {
		t.Fatal(err)
	}
	opened()
	for range 3 {
		r, err := c.Open(t.Context(), content.Digest)
		if err != nil {
			t.Fatal(err)
		}
		closeReader(t, r)
	}
	if n := opened(); n != 3 {
		t.Errorf("opened %d times, want 3", n)
	}
}

// What is not held any more is not held in memory either, whoever read it meanwhile.
func TestMemoryFollowsTheStore(t *testing.T) {
	c, _ := opens(t)
	var all sync.WaitGroup
	for i := range uint64(4) {
		content := storetest.Random(i, 100)
		all.Go(func() {
			for range 30 {
				if err := c.Put(t.Context(), content.Digest, content.Bytes); err != nil {
					t.Error(err)
				}
				if err := c.Delete(t.Context(), content.Digest); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 500 {
				if b, err := c.ReadAll(t.Context(), content.Digest, 1000); err == nil && string(b) != string(content.Bytes) {
					t.Error("other bytes")
				}
			}
		})
	}
	all.Wait()
	for i := range uint64(4) {
		if b, err := c.ReadAll(t.Context(), storetest.Random(i, 100).Digest, 1000); !errors.Is(err, cache.ErrNotHeld) {
			t.Error(fmt.Errorf("deleted, and yet %d bytes: %w", len(b), err))
		}
	}
}

// useCounter counts the uses that a store is told of.
type useCounter struct {
	store.Store
	uses atomic.Int32
}

func (s *useCounter) Use(d digest.Digest) {
	s.uses.Add(1)
	s.Store.Use(d)
}

// The store hears that small content is in use, but not of every hit.
func TestHitsInMemoryAreUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &useCounter{Store: openDisk(t)}
		c := cache.NewContents(s, cache.ContentOptions{})
		defer func() {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		content := storetest.Random(1, 5000)
		if err := c.Put(t.Context(), content.Digest, content.Bytes); err != nil {
			t.Fatal(err)
		}
		for second := range int32(4) {
			for range 100 {
				if _, err := c.ReadAll(t.Context(), content.Digest, 1<<20); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.uses.Load(); got != second {
				t.Errorf("%d uses in %d seconds", got, second)
			}
			time.Sleep(time.Second)
		}
	})
}

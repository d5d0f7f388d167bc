package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

// copied is a source that can be copied; the copies serve what they are told to.
type copied struct {
	*source
	serve storetest.Content

	mu     sync.Mutex // guards copies
	copies []*source
}

func (c *copied) Copy() cache.Source {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &source{content: c.serve.Bytes}
	c.copies = append(c.copies, s)
	return s
}

func (c *copied) Places() string { return "" }

// failingAfter is a store that takes so many writes of a fill.
func failingAfter(t *testing.T, writes int) *faulty {
	t.Helper()
	n := 0
	return &faulty{Store: openDisk(t), fault: func(op string, _ digest.Digest) (bool, error) {
		if op == "write" {
			if n++; n > writes {
				return false, syscall.ENOSPC
			}
		}
		return true, nil
	}}
}

// chunk is what one write takes in these tests.
const chunk = 100_000

// underway is a fill of three chunks whose store takes some and fails. Its readers stand
// at different places.
func underway(t *testing.T, c *cache.Contents, src *copied, total int64, writes int) map[int64]*cache.Reader {
	t.Helper()
	own, feed := fedSource(storetest.Content{Bytes: src.content})
	answer := own.answer
	src.answer = func(ctx context.Context, n int, offset int64) (cache.Part, error) {
		part, err := answer(ctx, n, offset)
		part.Total = total
		return part, err
	}
	d := digest.FromBytes(src.content)
	began := make(chan *cache.Reader)
	go func() { began <- fill(t, c, d, src) }()
	fed := 0
	send := func() {
		feed <- src.content[fed : fed+chunk]
		fed += chunk
	}
	if total < 0 {
		send()
	}
	readers := map[int64]*cache.Reader{0: <-began}
	for _, at := range []int64{50_000, 250_000, 299_999} {
		r := fill(t, c, d, &source{})
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		readers[at] = r
	}
	for fed < (writes+1)*chunk {
		synctest.Wait()
		send()
	}
	return readers
}

// The disk fails under a fill that is followed from several places: everybody gets all
// the bytes, those that came from where they are, the rest by a download of their own.
func TestStoreFailsUnderAFill(t *testing.T) {
	content := storetest.Random(1, 3*chunk)
	for name, test := range map[string]struct {
		total  int64
		writes int
	}{
		"size known":   {3 * chunk, 2},
		"size unknown": {-1, 2},
		"nothing kept": {3 * chunk, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				c := cache.NewContents(failingAfter(t, test.writes), cache.ContentOptions{MemoryBytes: -1, Metrics: cache.NewMetrics(registry, nil)})
				defer finish(t, c)
				src := &copied{source: &source{content: content.Bytes}, serve: content}
				for at, r := range underway(t, c, src, test.total, test.writes) {
					got, err := io.ReadAll(r)
					if err != nil || !bytes.Equal(got, content.Bytes[at:]) || !r.Unstored() || r.Size() != 3*chunk {
						t.Errorf("from %d: %d bytes, %v; unstored %t, size %d", at, len(got), err, r.Unstored(), r.Size())
					}
					closeReader(t, r)
				}
				for _, s := range src.copies {
					s.wantOpens(t, int64(test.writes)*chunk)
					s.wantClosed(t)
				}
				wantCounts(t, registry, map[string]float64{
					"berth_unstored_pulls_total{full}": 4, "berth_fills_failed_total{store}": 1,
				})
				wantNotHeld(t, c, content.Digest)
			})
		})
	}
}

// What follows is verified together with what came before: if it does not fit, the last
// byte does not come.
func TestStoreFailsAndTheRestIsBad(t *testing.T) {
	content := storetest.Random(1, 3*chunk)
	for name, serve := range map[string][]byte{
		"other bytes": flipped(content.Bytes, 3*chunk-1),
		"shorter":     content.Bytes[:3*chunk-1],
	} {
		for _, total := range []int64{3 * chunk, -1} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := cache.NewContents(failingAfter(t, 1), cache.ContentOptions{MemoryBytes: -1})
					defer finish(t, c)
					src := &copied{source: &source{content: content.Bytes}, serve: storetest.Content{Bytes: serve}}
					for at, r := range underway(t, c, src, total, 1) {
						got, err := io.ReadAll(r)
						if !errors.Is(err, cache.ErrMismatch) && !errors.Is(err, cache.ErrLength) || len(got) >= len(content.Bytes)-int(at) {
							t.Errorf("from %d: %d bytes, %v", at, len(got), err)
						}
						closeReader(t, r)
					}
				})
			})
		}
	}
}

// Without a source that can be copied, followers are cut off, and told why.
func TestStoreFailsUnderAFillOfOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.NewContents(failingAfter(t, 0), cache.ContentOptions{MemoryBytes: -1})
		defer finish(t, c)
		content := storetest.Random(1, chunk)
		src, feed := fedSource(content)
		r := fill(t, c, content.Digest, src)
		feed <- content.Bytes
		if n, err := io.Copy(io.Discard, r); n > 0 || !errors.Is(err, cache.ErrStore) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d bytes, %v", n, err)
		}
		closeReader(t, r)
	})
}

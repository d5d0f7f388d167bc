package cache

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

const (
	// maxSmall is the largest content that is held in memory: manifests, configs and the
	// tiny layers that images are full of. Larger ones gain nothing, the kernel sends them.
	maxSmall = 128 << 10
	// defaultMemory is how many bytes of small content are held: some eight thousand images. Together
	// with defaultFacts and the garbage of both it keeps Berth below 200 MiB.
	defaultMemory = 48 << 20
	// smallOverhead is about what an entry costs besides its bytes.
	smallOverhead = 256
	// useEvery is how often the store is told of uses, by content.
	useEvery = time.Second
)

// small is small content in memory, for the requests that make up most of a pull. Its
// policy is not flushed by a scan.
type small struct {
	held *otter.Cache[digest.Digest, *smallContent]
	// use tells the store of a use that it does not see.
	use func(digest.Digest)
}

// smallContent is content, and when the store was told last that it is in use, in
// nanoseconds since 1970.
type smallContent struct {
	bytes []byte
	used  atomic.Int64
}

// newSmall holds at most about maxBytes, and nothing if that is not positive. The use of
// content is told to the store now and then.
func newSmall(maxBytes int64, use func(digest.Digest)) small {
	if maxBytes <= 0 {
		return small{}
	}
	return small{use: use, held: otter.Must(&otter.Options[digest.Digest, *smallContent]{
		MaximumWeight: uint64(maxBytes),
		Weigher:       func(_ digest.Digest, c *smallContent) uint32 { return uint32(len(c.bytes)) + smallOverhead },
	})}
}

// get returns the bytes of d, which nobody may change.
func (s small) get(ctx context.Context, d digest.Digest) ([]byte, bool) {
	if s.held == nil || ctx.Err() != nil {
		return nil, false
	}
	c, ok := s.held.GetIfPresent(d)
	if !ok {
		return nil, false
	}
	// Set back, a clock would have the store wait: the distance counts.
	now, last := time.Now().UnixNano(), c.used.Load()
	if since := now - last; (since >= int64(useEvery) || since < 0) && c.used.CompareAndSwap(last, now) {
		s.use(d)
	}
	return c.bytes, true
}

// takes tells whether content of size bytes may be held.
func (s small) takes(size int64) bool { return s.held != nil && size <= maxSmall }

// put keeps b, which nobody changes any more, as d, if it is small.
func (s small) put(d digest.Digest, b []byte) {
	if s.takes(int64(len(b))) {
		c := &smallContent{bytes: b}
		c.used.Store(time.Now().UnixNano()) // the store saw it come
		s.held.Set(d, c)
	}
}

func (s small) drop(d digest.Digest) {
	if s.held != nil {
		s.held.Invalidate(d)
	}
}

func (s small) close() {
	if s.held != nil {
		s.held.StopAllGoroutines()
	}
}

// inMemory reads small content.
func inMemory(ctx context.Context, b []byte) *Reader {
	return &Reader{ctx: ctx, content: memory{bytes.NewReader(b), b}, size: int64(len(b))}
}

// memory is small content as a store's Content.
type memory struct {
	*bytes.Reader
	bytes []byte
}

var _ store.Content = memory{}

// Close implements io.Closer.
func (memory) Close() error { return nil }

// hold keeps b in memory, unless the store has let go of it meanwhile.
func (c *Contents) hold(ctx context.Context, d digest.Digest, b []byte) {
	if !c.small.takes(int64(len(b))) {
		return
	}
	c.small.put(d, b)
	if _, err := c.store.Stat(ctx, d); err != nil {
		c.small.drop(d)
	}
}

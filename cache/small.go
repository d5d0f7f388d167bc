package cache

import (
	"bytes"
	"context"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

const (
	// maxSmall is the largest content that is held in memory: manifests, configs and the
	// tiny layers that images are full of. Larger ones gain nothing, the kernel sends them.
	maxSmall = 128 << 10
	// defaultMemory is how many bytes of small content are held: some ten thousand images.
	defaultMemory = 64 << 20
	// smallOverhead is about what an entry costs besides its bytes.
	smallOverhead = 256
)

// small is small content in memory, for the requests that make up most of a pull. Its
// policy is not flushed by a scan.
type small struct {
	held *otter.Cache[digest.Digest, []byte]
}

// newSmall holds at most about maxBytes, and nothing if that is not positive.
func newSmall(maxBytes int64) small {
	if maxBytes <= 0 {
		return small{}
	}
	return small{otter.Must(&otter.Options[digest.Digest, []byte]{
		MaximumWeight: uint64(maxBytes),
		Weigher:       func(_ digest.Digest, b []byte) uint32 { return uint32(len(b)) + smallOverhead },
	})}
}

// get returns the bytes of d, which nobody may change.
func (s small) get(ctx context.Context, d digest.Digest) ([]byte, bool) {
	if s.held == nil || ctx.Err() != nil {
		return nil, false
	}
	return s.held.GetIfPresent(d)
}

// takes tells whether content of size bytes may be held.
func (s small) takes(size int64) bool { return s.held != nil && size <= maxSmall }

// put keeps b, which nobody changes any more, as d, if it is small.
func (s small) put(d digest.Digest, b []byte) {
	if s.takes(int64(len(b))) {
		s.held.Set(d, b)
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

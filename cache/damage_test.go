package cache_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// rotten is a disk on which files can be opened, and not be read to their end.
type rotten struct{ *store.Disk }

func (r rotten) Open(ctx context.Context, d digest.Digest) (store.Content, int64, error) {
	content, size, err := r.Disk.Open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	return &badSector{content, 1000}, size, nil
}

func (r rotten) Drop(ctx context.Context, d digest.Digest, content store.Content) (bool, error) {
	return r.Disk.Drop(ctx, d, content.(*badSector).Content)
}

// badSector cannot be read behind its first bytes.
type badSector struct {
	store.Content
	left int
}

var errSector = &fs.PathError{Op: "read", Path: "file", Err: syscall.EIO}

func (b *badSector) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errSector
	}
	n, err := b.Content.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// kernel takes files as a socket does: what is wrong with one comes out of its ReadFrom.
type kernel struct{}

func (kernel) Write(p []byte) (int, error) { return len(p), nil }

func (kernel) ReadFrom(io.Reader) (int64, error) { return 0, errSector }

// TestDamageFoundWhenRead: content that cannot be read, and small content with other bytes, is
// dropped by who finds that out, so that it is fetched again.
func TestDamageFoundWhenRead(t *testing.T) {
	read := func(w io.Writer) func(t *testing.T, r *cache.Reader) {
		return func(t *testing.T, r *cache.Reader) {
			if _, err := r.WriteTo(w); !errors.Is(err, syscall.EIO) || !errors.Is(r.Err(), syscall.EIO) {
				t.Errorf("%v (%v), want EIO", err, r.Err())
			}
		}
	}
	for name, test := range map[string]struct {
		size   int
		memory int64
		rotten bool
		// read finds it out; nil if opening does.
		read func(t *testing.T, r *cache.Reader)
	}{
		"unreadable":           {10_000, -1, true, read(struct{ io.Writer }{io.Discard})},
		"unreadable by kernel": {10_000, -1, true, read(kernel{})},
		"small, unreadable":    {10_000, 0, true, nil},
		"small, other bytes":   {10_000, 0, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			disk := openIn(t, dir)
			defer closeStore(t, disk)
			content := storetest.Random(1, test.size)
			held(t, disk, content)
			registry := prometheus.NewRegistry()
			var s store.Store = disk
			if test.rotten {
				s = rotten{disk}
			} else {
				write(t, fileOf(dir, content.Digest), flipped(content.Bytes, 7))
			}
			c := cache.NewContents(s, cache.ContentOptions{MemoryBytes: test.memory, Metrics: cache.NewMetrics(registry, nil)})
			defer finish(t, c)
			if test.read != nil {
				r, err := c.Open(t.Context(), content.Digest)
				if err != nil {
					t.Fatal(err)
				}
				test.read(t, r)
				closeReader(t, r)
			} else if r, err := c.Open(t.Context(), content.Digest); err == nil {
				b, err := io.ReadAll(r)
				t.Fatalf("opened, with %d bytes of %s, %v", len(b), digest.FromBytes(b), err)
			}
			if _, err := os.Stat(fileOf(dir, content.Digest)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its file: %v", err)
			}
			src := &source{content: content.Bytes}
			wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
			src.wantOpens(t, 0)
			wantCounts(t, registry, map[string]float64{"berth_damaged_objects_total{read}": 1})
		})
	}
}

// TestWriterThatFailsLosesNothing: what a client did is no damage.
func TestWriterThatFailsLosesNothing(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 10_000)
	if err := c.Put(t.Context(), content.Digest, content.Bytes); err != nil {
		t.Fatal(err)
	}
	r, err := c.Open(t.Context(), content.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteTo(&limited{io.Discard, 100}); !errors.Is(err, errLeft) {
		t.Errorf("%v, want the writer's error", err)
	}
	closeReader(t, r)
	wantHeld(t, c, content)
}

package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

var errCut = errors.New("connection cut")

// source serves content and writes down what it was asked for.
type source struct {
	content []byte
	// answer, if set, answers the n-th Open, counted from 0.
	answer func(ctx context.Context, n int, offset int64) (cache.Part, error)

	// mu guards what is below.
	mu      sync.Mutex
	offsets []int64
	closed  int
}

func (s *source) Open(ctx context.Context, offset, _ int64) (cache.Part, error) {
	s.mu.Lock()
	n := len(s.offsets)
	s.offsets = append(s.offsets, offset)
	s.mu.Unlock()
	if s.answer != nil {
		return s.answer(ctx, n, offset)
	}
	return s.part(offset), nil
}

func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// part is the right answer.
func (s *source) part(offset int64) cache.Part {
	return cache.Part{Body: io.NopCloser(bytes.NewReader(s.content[offset:])), Offset: offset, Total: int64(len(s.content))}
}

// cut is the right answer, broken off after n bytes.
func (s *source) cut(offset, n int64) cache.Part {
	part := s.part(offset)
	part.Body = io.NopCloser(io.MultiReader(io.LimitReader(part.Body, n), failing{errCut}))
	return part
}

func (s *source) wantOpens(t *testing.T, offsets ...int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(offsets, s.offsets); diff != "" {
		t.Errorf("source opened at (-want +got):\n%s", diff)
	}
}

// wantClosed waits for nothing: it is called when the fill has ended.
func (s *source) wantClosed(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != 1 {
		t.Errorf("source closed %d times, want once", s.closed)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// waiting is a reader of nothing, which ends when the channel is closed.
type waiting <-chan struct{}

func (w waiting) Read([]byte) (int, error) {
	<-w
	return 0, io.EOF
}

// fed is a body that yields what the test sends, until the channel closes or ctx ends.
type fed struct {
	ctx  context.Context
	feed <-chan []byte
	rest []byte
}

func (f *fed) Read(b []byte) (int, error) {
	if len(f.rest) == 0 {
		select {
		case next, ok := <-f.feed:
			if !ok {
				return 0, io.EOF
			}
			f.rest = next
		case <-f.ctx.Done():
			return 0, f.ctx.Err()
		}
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *fed) Close() error { return nil }

// fedSource serves content as the test sends it.
func fedSource(c storetest.Content) (*source, chan<- []byte) {
	feed := make(chan []byte)
	s := &source{content: c.Bytes}
	s.answer = func(ctx context.Context, _ int, offset int64) (cache.Part, error) {
		part := s.part(offset)
		part.Body = &fed{ctx: ctx, feed: feed}
		return part, nil
	}
	return s, feed
}

// faulty is a store whose calls fail as told: before they are applied, or after.
type faulty struct {
	store.Store
	fault func(op string, d digest.Digest) (apply bool, err error)
}

func (f *faulty) do(op string, d digest.Digest, call func() error) error {
	apply, fault := f.fault(op, d)
	if apply {
		if err := call(); err != nil {
			return err
		}
	}
	return fault
}

func (f *faulty) Open(ctx context.Context, d digest.Digest) (c store.Content, size int64, err error) {
	err = f.do("open", d, func() error { c, size, err = f.Store.Open(ctx, d); return err })
	return c, size, err
}

func (f *faulty) Stage(ctx context.Context, size int64) (staged store.Staged, err error) {
	err = f.do("stage", "", func() error { staged, err = f.Store.Stage(ctx, size); return err })
	return &faultyStaged{staged, f}, err
}

type faultyStaged struct {
	store.Staged
	store *faulty
}

func (f *faultyStaged) Write(b []byte) (n int, err error) {
	err = f.store.do("write", "", func() error { n, err = f.Staged.Write(b); return err })
	return n, err
}

func (f *faultyStaged) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.store.do("write", "", func() error { n, err = f.Staged.WriteAt(b, off); return err })
	return n, err
}

func (f *faultyStaged) Commit(ctx context.Context, d digest.Digest) error {
	return f.store.do("commit", d, func() error { return f.Staged.Commit(ctx, d) })
}

func openDisk(t *testing.T) *store.Disk {
	t.Helper()
	s, err := store.OpenDisk(t.TempDir(), store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// newContents closes with the test, and with every fill at its end.
func newContents(t *testing.T, s store.Store, opts cache.ContentOptions) *cache.Contents {
	t.Helper()
	if opts.MemoryBytes == 0 {
		opts.MemoryBytes = -1 // it is the store that is tested, where a test does not say otherwise
	}
	c := cache.NewContents(s, opts)
	t.Cleanup(func() { finish(t, c) })
	return c
}

// finish waits for the fills, after which no new one can begin.
func finish(t *testing.T, c *cache.Contents) {
	t.Helper()
	if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func fill(t *testing.T, c *cache.Contents, d digest.Digest, src cache.Source) *cache.Reader {
	t.Helper()
	r, err := c.Fill(t.Context(), d, src)
	if err != nil {
		t.Fatalf("Fill: %v", err)
	}
	return r
}

func closeReader(t *testing.T, r *cache.Reader) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Errorf("close reader: %v", err)
	}
}

// wantContent reads r to its end and closes it.
func wantContent(t *testing.T, r *cache.Reader, want []byte) {
	t.Helper()
	defer closeReader(t, r)
	got, err := io.ReadAll(r)
	if err != nil || r.Err() != nil {
		t.Fatalf("read %d bytes: %v (%v)", len(got), err, r.Err())
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, not the %d there are", len(got), len(want))
	}
	if r.Size() != int64(len(want)) || !r.Complete() {
		t.Errorf("at the end: size %d, complete %t", r.Size(), r.Complete())
	}
}

func wantHeld(t *testing.T, c *cache.Contents, content storetest.Content) {
	t.Helper()
	b, err := c.ReadAll(t.Context(), content.Digest, int64(len(content.Bytes)))
	if err != nil || !bytes.Equal(b, content.Bytes) {
		t.Fatalf("ReadAll: %d bytes, %v", len(b), err)
	}
	if size, err := c.Stat(t.Context(), content.Digest); err != nil || size != int64(len(content.Bytes)) {
		t.Fatalf("Stat: %d, %v", size, err)
	}
}

func wantNotHeld(t *testing.T, c *cache.Contents, d digest.Digest) {
	t.Helper()
	if _, err := c.Stat(t.Context(), d); !errors.Is(err, cache.ErrNotHeld) {
		t.Fatalf("Stat: %v, want ErrNotHeld", err)
	}
	if r, err := c.Open(t.Context(), d); !errors.Is(err, cache.ErrNotHeld) {
		t.Fatalf("Open: %v, %v, want ErrNotHeld", r, err)
	}
}

var errLeft = errors.New("client left")

// limited takes so many bytes and then fails.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) <= l.left {
		l.left -= len(b)
		return l.w.Write(b)
	}
	n, err := l.w.Write(b[:l.left])
	l.left = 0
	return n, errors.Join(err, errLeft)
}

// shortStore tells one byte more than there is.
type shortStore struct{ store.Store }

func (s shortStore) Open(ctx context.Context, d digest.Digest) (store.Content, int64, error) {
	c, size, err := s.Store.Open(ctx, d)
	return c, size + 1, err
}

func noFault(string, digest.Digest) (bool, error) { return true, nil }

// fileTaker counts what its ReadFrom is given.
type fileTaker struct{ files, others int }

func (f *fileTaker) Write(b []byte) (int, error) { f.others++; return len(b), nil }

func (f *fileTaker) ReadFrom(r io.Reader) (int64, error) {
	if limit, ok := r.(*io.LimitedReader); ok {
		if _, ok := limit.R.(*os.File); ok {
			f.files++
			return io.Copy(io.Discard, r)
		}
	}
	f.others++
	return io.Copy(io.Discard, r)
}

package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

func TestFillOnce(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 200_000)
	src := &source{content: content.Bytes}
	r := fill(t, c, content.Digest, src)
	if r.Size() != 200_000 {
		t.Errorf("Size %d", r.Size())
	}
	wantContent(t, r, content.Bytes)
	again := &source{content: content.Bytes}
	wantContent(t, fill(t, c, content.Digest, again), content.Bytes)
	finish(t, c)
	src.wantOpens(t, 0)
	src.wantClosed(t)
	again.wantOpens(t)
	again.wantClosed(t)
	wantHeld(t, c, content)
	if c.Filling(content.Digest) {
		t.Error("still filling")
	}
}

// TestHeldRightAfter: content is complete as soon as its bytes are verified, not only
// when the commit has been synced, so that no one asks an upstream in between.
func TestHeldRightAfter(t *testing.T) {
	commit := make(chan struct{})
	release := sync.OnceFunc(func() { close(commit) })
	s := &faulty{Store: openDisk(t), fault: func(op string, _ digest.Digest) (bool, error) {
		if op == "commit" {
			<-commit
		}
		return true, nil
	}}
	c := newContents(t, s, cache.ContentOptions{})
	t.Cleanup(release)
	content := storetest.Random(1, 200_000)
	src := &source{content: content.Bytes}
	wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
	wantHeld(t, c, content)
	wantContent(t, fill(t, c, content.Digest, &source{}), content.Bytes)
	if !c.Filling(content.Digest) {
		t.Error("not filling, with the commit still to come")
	}
	release()
	finish(t, c)
	wantHeld(t, c, content)
	src.wantOpens(t, 0)
}

// TestCommittedMeanwhile: a fill that ended between a client's look at the store and its
// look at the fills is not begun again, even if its content is deleted before it is read.
func TestCommittedMeanwhile(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		content := storetest.Random(1, 2000)
		disk := openDisk(t)
		looks := 0
		s := &faulty{Store: disk, fault: func(string, digest.Digest) (bool, error) {
			looks++
			switch {
			case looks == 1:
				put := cache.NewContents(disk, cache.ContentOptions{}).Put
				return false, errors.Join(store.ErrNotFound, put(t.Context(), content.Digest, content.Bytes))
			case looks == 3 && deleted:
				return true, disk.Delete(t.Context(), content.Digest)
			}
			return true, nil
		}}
		c := newContents(t, s, cache.ContentOptions{})
		src := &source{content: content.Bytes}
		wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
		finish(t, c)
		src.wantOpens(t)
		src.wantClosed(t)
	}
}

// TestNothingLeft: content that was not committed leaves no file, whoever leaves last.
func TestNothingLeft(t *testing.T) {
	content := storetest.Random(1, 2000)
	for _, test := range []struct {
		name string
		last func(t *testing.T, c *cache.Contents, r *cache.Reader)
	}{
		{"the fill", func(t *testing.T, c *cache.Contents, r *cache.Reader) { closeReader(t, r); finish(t, c) }},
		{"the reader", func(t *testing.T, c *cache.Contents, r *cache.Reader) { finish(t, c); closeReader(t, r) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := store.OpenDisk(dir, store.DiskOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c := newContents(t, s, cache.ContentOptions{})
			release := make(chan struct{})
			src := &source{answer: func(context.Context, int, int64) (cache.Part, error) {
				body := io.MultiReader(bytes.NewReader(make([]byte, 1000)), waiting(release), bytes.NewReader(make([]byte, 1000)))
				return cache.Part{Body: io.NopCloser(body), Total: 2000}, nil
			}}
			r := fill(t, c, content.Digest, src)
			close(release)
			test.last(t, c, r)
			left, err := os.ReadDir(filepath.Join(dir, "staging"))
			if err != nil || len(left) > 0 {
				t.Errorf("staging holds %v, %v", left, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFillSizes(t *testing.T) {
	for _, size := range []int{0, 1, 2, 65_535, 65_536, 65_537, 3 << 20} {
		for name, total := range map[string]func(int) int64{
			"total known":   func(n int) int64 { return int64(n) },
			"total unknown": func(int) int64 { return -1 },
		} {
			c := newContents(t, openDisk(t), cache.ContentOptions{})
			content := storetest.Random(1, size)
			src := &source{content: content.Bytes}
			src.answer = func(_ context.Context, _ int, offset int64) (cache.Part, error) {
				part := src.part(offset)
				part.Total = total(size)
				return part, nil
			}
			wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
			finish(t, c)
			wantHeld(t, c, content)
			src.wantOpens(t, 0)
			if t.Failed() {
				t.Fatalf("%d bytes, %s", size, name)
			}
		}
	}
}

// TestSourceError: the source's own error reaches everyone unchanged, and the next one
// to ask starts anew.
func TestSourceError(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 1000)
	errUpstream := errors.New("429 from upstream")
	release := make(chan struct{})
	bad := &source{answer: func(context.Context, int, int64) (cache.Part, error) {
		<-release
		return cache.Part{}, errUpstream
	}}
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() {
			if _, err := c.Fill(t.Context(), content.Digest, bad); err != errUpstream { //nolint:errorlint // unchanged, it says
				t.Errorf("Fill: %v, want the source's error itself", err)
			}
		})
	}
	close(release)
	clients.Wait()
	good := &source{content: content.Bytes}
	wantContent(t, fill(t, c, content.Digest, good), content.Bytes)
	good.wantOpens(t, 0)
}

// TestHammer has clients that come, read some of it and go, over a source that breaks.
func TestHammer(t *testing.T) {
	s := openDisk(t)
	c := newContents(t, s, cache.ContentOptions{Orphans: 2, Keep: time.Second})
	var contents []storetest.Content
	for i := range 8 {
		contents = append(contents, storetest.Random(uint64(i), 50_000*i+1))
	}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range 20 {
				content := contents[rand.IntN(len(contents))]
				src := &source{content: content.Bytes}
				src.answer = func(_ context.Context, n int, offset int64) (cache.Part, error) {
					if n == 0 && rand.IntN(2) == 0 {
						return src.cut(offset, rand.Int64N(int64(len(content.Bytes))-offset+1)), nil
					}
					return src.part(offset), nil
				}
				r, err := c.Fill(t.Context(), content.Digest, src)
				if err != nil {
					t.Errorf("Fill: %v", err)
					return
				}
				if rand.IntN(3) > 0 {
					wantContent(t, r, content.Bytes)
					continue
				}
				if _, err := io.CopyN(io.Discard, r, rand.Int64N(int64(len(content.Bytes)))); err != nil {
					t.Errorf("read: %v", err)
				}
				closeReader(t, r)
				if rand.IntN(5) == 0 {
					if err := c.Delete(t.Context(), content.Digest); err != nil {
						t.Errorf("Delete: %v", err)
					}
				}
			}
		})
	}
	clients.Wait()
	finish(t, c)
	var want store.Usage
	for _, content := range contents {
		if size, err := c.Stat(t.Context(), content.Digest); err == nil {
			wantHeld(t, c, content)
			want.Objects++
			want.Bytes += size
		}
	}
	if got := s.Usage(); got != want {
		t.Errorf("Usage %+v, held are %+v", got, want)
	}
}

// unread is a store that takes content, and gives none of it back.
type unread struct{ store.Store }

func (u unread) Stage(ctx context.Context, size int64) (store.Staged, error) {
	staged, err := u.Store.Stage(ctx, size)
	return unreadStaged{staged}, err
}

type unreadStaged struct{ store.Staged }

func (u unreadStaged) Open() (store.Content, error) {
	content, err := u.Staged.Open()
	return unreadContent{content}, err
}

type unreadContent struct{ store.Content }

func (unreadContent) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// TestHashFails: a fill whose bytes cannot be read back ends at once, not when all has come.
func TestHashFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := storetest.Random(1, 2<<20)
		c := newContents(t, unread{openDisk(t)}, cache.ContentOptions{})
		src := &source{content: content.Bytes}
		src.answer = func(ctx context.Context, _ int, offset int64) (cache.Part, error) {
			part := src.part(offset)
			feed := make(chan []byte, 1)
			feed <- content.Bytes[:1<<20] // and then nothing more
			part.Body = &fed{ctx: ctx, feed: feed}
			return part, nil
		}
		r, err := c.Fill(t.Context(), content.Digest, src)
		if err == nil { // the first byte was quicker
			_, err = io.ReadAll(r)
			closeReader(t, r)
		}
		if !errors.Is(err, cache.ErrStore) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%v, want ErrStore", err)
		}
	})
}

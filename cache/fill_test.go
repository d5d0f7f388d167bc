package cache_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
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
	s := &faulty{Store: openDisk(t), fault: func(op string, _ digest.Digest) (bool, error) {
		if op == "commit" {
			<-commit
		}
		return true, nil
	}}
	c := newContents(t, s, cache.ContentOptions{})
	content := storetest.Random(1, 200_000)
	src := &source{content: content.Bytes}
	wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
	wantHeld(t, c, content)
	wantContent(t, fill(t, c, content.Digest, &source{}), content.Bytes)
	if !c.Filling(content.Digest) {
		t.Error("not filling, with the commit still to come")
	}
	close(commit)
	finish(t, c)
	wantHeld(t, c, content)
	src.wantOpens(t, 0)
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

// TestHundredAtOnce: whoever comes while a fill runs follows it, from the first byte.
func TestHundredAtOnce(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 300_000)
	src := &source{content: content.Bytes}
	var clients sync.WaitGroup
	for range 100 {
		clients.Go(func() {
			r, err := c.Fill(t.Context(), content.Digest, src)
			if err != nil {
				t.Errorf("Fill: %v", err)
				return
			}
			wantContent(t, r, content.Bytes)
		})
	}
	clients.Wait()
	src.wantOpens(t, 0)
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

// TestClientGone: the fill goes on without its client.
func TestClientGone(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 200_000)
	src, feed := fedSource(content)
	r := fill(t, c, content.Digest, src)
	feed <- content.Bytes[:100_000]
	if _, err := io.CopyN(io.Discard, r, 50_000); err != nil {
		t.Fatal(err)
	}
	closeReader(t, r)
	feed <- content.Bytes[100_000:]
	finish(t, c)
	wantHeld(t, c, content)
	src.wantOpens(t, 0)
}

// TestGoneWhileWaiting: a client may leave before the source answered.
func TestGoneWhileWaiting(t *testing.T) {
	for _, orphans := range []int{1, -1} {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: orphans})
		content := storetest.Random(1, 1000)
		asked, release := make(chan struct{}), make(chan struct{})
		src := &source{content: content.Bytes}
		src.answer = func(ctx context.Context, _ int, offset int64) (cache.Part, error) {
			close(asked)
			select {
			case <-release:
				return src.part(offset), nil
			case <-ctx.Done():
				return cache.Part{}, ctx.Err()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		if _, err := c.Fill(ctx, content.Digest, src); !errors.Is(err, context.Canceled) {
			t.Fatalf("Fill: %v", err)
		}
		close(release)
		finish(t, c)
		if orphans > 0 {
			wantHeld(t, c, content)
		} else {
			wantNotHeld(t, c, content.Digest)
		}
		src.wantClosed(t)
	}
}

// TestPause: fills above the number of orphans pause and are resumed where they stood.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: 1})
		orphan, paused := storetest.Random(1, 200_000), storetest.Random(2, 200_000)
		first, firstFeed := fedSource(orphan)
		second, secondFeed := fedSource(paused)
		one, two := fill(t, c, orphan.Digest, first), fill(t, c, paused.Digest, second)
		secondFeed <- paused.Bytes[:70_000]
		synctest.Wait()
		closeReader(t, one)
		closeReader(t, two)
		synctest.Wait()
		second.wantClosed(t)
		if !c.Filling(paused.Digest) {
			t.Error("a paused fill is forgotten")
		}
		time.Sleep(9 * time.Minute)
		third := &source{content: paused.Bytes}
		wantContent(t, fill(t, c, paused.Digest, third), paused.Bytes)
		third.wantOpens(t, 70_000)
		firstFeed <- orphan.Bytes
		finish(t, c)
		wantHeld(t, c, orphan)
		wantHeld(t, c, paused)
		first.wantOpens(t, 0)
		second.wantOpens(t, 0)
	})
}

// TestOrphanTaken: an orphan that gets a client again makes room for another.
func TestOrphanTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: 1})
		a, b := storetest.Random(1, 2000), storetest.Random(2, 2000)
		srcA, feedA := fedSource(a)
		srcB, feedB := fedSource(b)
		closeReader(t, fill(t, c, a.Digest, srcA))
		taken := fill(t, c, a.Digest, &source{})
		closeReader(t, fill(t, c, b.Digest, srcB))
		feedB <- b.Bytes // would block for ever had b paused
		feedA <- a.Bytes
		wantContent(t, taken, a.Bytes)
		finish(t, c)
		wantHeld(t, c, b)
	})
}

func TestKeepExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: -1, Keep: time.Minute})
		content := storetest.Random(1, 2000)
		src, feed := fedSource(content)
		r := fill(t, c, content.Digest, src)
		feed <- content.Bytes[:1000]
		synctest.Wait()
		closeReader(t, r)
		time.Sleep(time.Minute - 1)
		if !c.Filling(content.Digest) {
			t.Error("dropped too early")
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if c.Filling(content.Digest) {
			t.Error("kept too long")
		}
		again := &source{content: content.Bytes}
		wantContent(t, fill(t, c, content.Digest, again), content.Bytes)
		again.wantOpens(t, 0)
	})
}

// TestResumeRefused: whoever resumes a paused fill hears what the new source says.
func TestResumeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: -1})
		content := storetest.Random(1, 2000)
		src, feed := fedSource(content)
		r := fill(t, c, content.Digest, src)
		feed <- content.Bytes[:1000]
		synctest.Wait()
		closeReader(t, r)
		synctest.Wait()
		refusal := errors.New("403")
		bad := &source{answer: func(context.Context, int, int64) (cache.Part, error) { return cache.Part{}, refusal }}
		if _, err := c.Fill(t.Context(), content.Digest, bad); !errors.Is(err, refusal) {
			t.Errorf("Fill: %v, want %v", err, refusal)
		}
		bad.wantOpens(t, 1000)
	})
}

func TestClose(t *testing.T) {
	t.Run("waits for running fills", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newContents(t, openDisk(t), cache.ContentOptions{})
			content := storetest.Random(1, 2000)
			src, feed := fedSource(content)
			closeReader(t, fill(t, c, content.Digest, src))
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				finish(t, c)
			}()
			synctest.Wait()
			if _, err := c.Fill(t.Context(), storetest.Random(2, 10).Digest, &source{}); !errors.Is(err, cache.ErrClosed) {
				t.Errorf("Fill: %v, want ErrClosed", err)
			}
			feed <- content.Bytes
			<-closed
			wantHeld(t, c, content)
		})
	})
	t.Run("cuts off at the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newContents(t, openDisk(t), cache.ContentOptions{})
			content := storetest.Random(1, 2000)
			src, feed := fedSource(content)
			r := fill(t, c, content.Digest, src)
			defer closeReader(t, r)
			feed <- content.Bytes[:1000]
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close: %v", err)
			}
			b, err := io.ReadAll(r)
			if len(b) != 1000 || !errors.Is(err, cache.ErrClosed) || !errors.Is(r.Err(), cache.ErrClosed) {
				t.Errorf("read %d bytes, %v, want 1000 and ErrClosed", len(b), err)
			}
			wantNotHeld(t, c, content.Digest)
		})
	})
	t.Run("drops paused fills", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: -1})
			content := storetest.Random(1, 2000)
			src, feed := fedSource(content)
			r := fill(t, c, content.Digest, src)
			feed <- content.Bytes[:1000]
			synctest.Wait()
			closeReader(t, r)
			start := time.Now()
			finish(t, c)
			if waited := time.Since(start); waited != 0 {
				t.Errorf("waited %v for a paused fill", waited)
			}
		})
	})
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

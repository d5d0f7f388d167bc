package cache_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

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

// leaveHalf begins a fill of content and leaves when half of its 2000 bytes have come.
func leaveHalf(t *testing.T, c *cache.Contents, content storetest.Content) {
	t.Helper()
	src, feed := fedSource(content)
	r := fill(t, c, content.Digest, src)
	feed <- content.Bytes[:1000]
	synctest.Wait()
	closeReader(t, r)
	synctest.Wait()
}

func TestKeepExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: -1, Keep: time.Minute})
		content := storetest.Random(1, 2000)
		leaveHalf(t, c, content)
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

// TestPausedMakesWay: where a store is full, paused fills give up the room that they have
// reserved, and those that run keep theirs.
func TestPausedMakesWay(t *testing.T) {
	for name, keep := range map[string]func(t *testing.T, c *cache.Contents, content storetest.Content) error{
		"Fill": func(t *testing.T, c *cache.Contents, content storetest.Content) error {
			_, err := read(t, c, content, &source{content: content.Bytes})
			return err
		},
		"Put": func(t *testing.T, c *cache.Contents, content storetest.Content) error {
			return c.Put(t.Context(), content.Digest, content.Bytes)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openDisk(t)
				s.Limit(store.Limits{MaxBytes: 1_000_000})
				c := newContents(t, s, cache.ContentOptions{Orphans: -1})
				running, paused, next := storetest.Random(1, 300_000), storetest.Random(2, 500_000), storetest.Random(3, 600_000)
				src, feed := fedSource(running)
				r := fill(t, c, running.Digest, src)
				leaveHalf(t, c, paused)
				if err := keep(t, c, next); err != nil {
					t.Errorf("with a fill paused: %v", err)
				}
				synctest.Wait()
				if c.Filling(paused.Digest) {
					t.Error("the paused fill holds on")
				}
				if err := keep(t, c, storetest.Random(4, 800_000)); !errors.Is(err, store.ErrFull) {
					t.Errorf("with a fill running: %v, want ErrFull", err)
				}
				feed <- running.Bytes
				wantContent(t, r, running.Bytes)
				synctest.Wait()
				wantHeld(t, c, running)
				again := &source{content: paused.Bytes}
				wantContent(t, fill(t, c, paused.Digest, again), paused.Bytes)
				again.wantOpens(t, 0)
			})
		})
	}
}

// TestResumeRefused: whoever resumes a paused fill hears what the new source says.
func TestResumeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: -1})
		content := storetest.Random(1, 2000)
		leaveHalf(t, c, content)
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
			leaveHalf(t, c, content)
			start := time.Now()
			finish(t, c)
			if waited := time.Since(start); waited != 0 {
				t.Errorf("waited %v for a paused fill", waited)
			}
		})
	})
}

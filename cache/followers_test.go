package cache_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

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

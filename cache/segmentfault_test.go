package cache_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

// cutBody breaks off, or with stall stops, after so many bytes.
type cutBody struct {
	io.ReadCloser
	ctx   context.Context
	left  int
	stall bool
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		if b.stall {
			<-b.ctx.Done()
		}
		return 0, errCut
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// TestSegmentFaults: whatever is wrong with a segment, the fill goes on over one connection
// and gets what it needs once more at most.
func TestSegmentFaults(t *testing.T) {
	const size = 2 << 20
	cut := func(after int, stall bool) func(*cache.Part) error {
		return func(part *cache.Part) error {
			part.Body = &cutBody{part.Body, part.Body.(*slowBody).ctx, after, stall}
			return nil
		}
	}
	for name, test := range map[string]struct {
		spoil func(part *cache.Part) error
		opens int // all in all
	}{
		"refused":         {func(*cache.Part) error { return errCut }, 2},
		"another total":   {func(part *cache.Part) error { part.Total++; return nil }, 2},
		"total not told":  {func(part *cache.Part) error { part.Total = -1; return nil }, 2},
		"another offset":  {func(part *cache.Part) error { part.Offset--; return nil }, 2},
		"cut":             {cut(beatBytes, false), 3}, // what came is skipped
		"stalls at once":  {cut(0, true), 4},          // overtaken three times
		"stalls later on": {cut(beatBytes, true), 4},  // given up in time
		"more than asked": {func(part *cache.Part) error {
			body := part.Body.(*slowBody)
			body.rest = body.rest[:len(body.rest)+1]
			return nil
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newContents(t, openDisk(t), cache.ContentOptions{})
				content := storetest.Random(1, size)
				src := &narrow{content: content.Bytes, lanes: cache.NewLanes(2, segment)}
				src.spoil = func(n int, part *cache.Part) error {
					if src.opens[n].Length < 0 {
						return nil
					}
					return test.spoil(part)
				}
				took := filled(t, c, content, src)
				if one := alone(size); took > one+4*beat {
					t.Errorf("took %v, %v over one connection", took, one)
				}
				if len(src.opens) != test.opens || src.opens[0] != (asked{0, -1}) || src.open != 0 {
					t.Errorf("asked for %v, %d connections open", src.opens, src.open)
				}
				if src.sent > size+2*beatBytes {
					t.Errorf("%d bytes were sent of %d", src.sent, size)
				}
			})
		})
	}
}

// TestSegmentsLie: wrong bytes are found out though nobody knows whose they were, and the
// next fill from there has one connection.
func TestSegmentsLie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 2<<20)
		wrong := storetest.Random(2, 2<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(4, segment)}
		src.spoil = func(n int, part *cache.Part) error {
			if n == 2 {
				body := part.Body.(*slowBody)
				body.rest = wrong.Bytes[part.Offset:][:len(body.rest)]
			}
			return nil
		}
		r := fill(t, c, content.Digest, src)
		if got, err := io.ReadAll(r); !errors.Is(err, cache.ErrMismatch) || len(got) != 2<<20-1 {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		closeReader(t, r)
		wantNotHeld(t, c, content.Digest)
		again := &narrow{content: content.Bytes, lanes: src.lanes}
		filled(t, c, content, again)
		if diff := cmp.Diff([]asked{{0, -1}}, again.opens); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

// TestSegmentsRefusedLater: once nobody fetches segments any more, the first connection is
// opened again where it is needed. That it may take a while to be let in is forgiven, as
// with one connection from the start there would have been no need.
func TestSegmentsRefusedLater(t *testing.T) {
	for name, refused := range map[string]int{"segments": 0, "and what follows": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newContents(t, openDisk(t), cache.ContentOptions{})
				content := storetest.Random(1, 4<<20)
				src := &narrow{content: content.Bytes, lanes: cache.NewLanes(4, segment)}
				src.spoil = func(n int, _ *cache.Part) error {
					if n > 5 && src.opens[n].Length >= 0 {
						return errCut
					}
					if n > 0 && src.opens[n].Length < 0 && refused > 0 {
						refused--
						return errCut
					}
					return nil
				}
				filled(t, c, content, src)
				if last := src.opens[len(src.opens)-1]; last.Length != -1 || refused != 0 {
					t.Errorf("asked for %v", src.opens)
				}
				if src.sent != 4<<20 {
					t.Errorf("%d bytes were sent of %d", src.sent, 4<<20)
				}
			})
		})
	}
}

// TestSegmentsOfBrokenSource: the first connection, too, may break while there are others.
func TestSegmentsOfBrokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 4<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(4, segment)}
		src.spoil = func(n int, part *cache.Part) error {
			if n == 0 {
				part.Body = &cutBody{part.Body, part.Body.(*slowBody).ctx, 30 * beatBytes, false}
			}
			return nil
		}
		filled(t, c, content, src)
		if src.sent != 4<<20 || src.most < 3 {
			t.Errorf("%d bytes were sent of %d, over %d connections", src.sent, 4<<20, src.most)
		}
	})
}

// TestSegmentsPause: all connections end with a pause, and what is missing then, gaps
// included, is all that is fetched later.
func TestSegmentsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: -1})
		content := storetest.Random(1, 4<<20)
		first := &narrow{content: content.Bytes, lanes: cache.NewLanes(4, segment)}
		r := fill(t, c, content.Digest, first)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := first.most; n < 3 {
			t.Errorf("%d connections by now", n)
		}
		closeReader(t, r)
		synctest.Wait()
		if first.open != 0 {
			t.Errorf("%d connections are open in a pause", first.open)
		}
		second := &narrow{content: content.Bytes, lanes: first.lanes}
		filled(t, c, content, second)
		if first.sent < 1<<20 || first.sent+second.sent != 4<<20 {
			t.Errorf("%d and %d bytes were sent of %d", first.sent, second.sent, 4<<20)
		}
	})
}

// TestSegmentsCutOff: Close at its deadline leaves no connection.
func TestSegmentsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 4<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(4, segment)}
		r := fill(t, c, content.Digest, src)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if src.open != 0 || src.most < 3 {
			t.Errorf("%d connections of %d are open", src.open, src.most)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		closeReader(t, r)
		wantNotHeld(t, c, content.Digest)
	})
}

// TestSegmentsShareLanes: many fills at once have together no more connections than lanes
// allow, and after a pause of the lanes one each.
func TestSegmentsShareLanes(t *testing.T) {
	for _, paused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newContents(t, openDisk(t), cache.ContentOptions{})
			lanes := cache.NewLanes(3, segment)
			if paused {
				lanes.Pause(time.Hour)
			}
			all := &narrow{}
			var sources []*narrow
			var readers []*cache.Reader
			for i := range 6 {
				content := storetest.Random(uint64(i), 1<<20)
				src := &narrow{content: content.Bytes, lanes: lanes, watch: all}
				sources = append(sources, src)
				readers = append(readers, fill(t, c, content.Digest, src))
			}
			for i, r := range readers {
				wantContent(t, r, sources[i].content)
			}
			want := 6 + 2*2
			if paused {
				want = 6
			}
			if all.most != want {
				t.Errorf("%d connections at once, want %d (paused %t)", all.most, want, paused)
			}
		})
	}
}

// TestSegmentNotStored: a store that takes no more fails the fill, whoever finds out.
func TestSegmentNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := storetest.Random(1, 2<<20)
		var writes atomic.Int64
		s := &faulty{Store: openDisk(t), fault: func(op string, _ digest.Digest) (bool, error) {
			if op == "write" {
				if writes.Add(1) > 40 {
					return false, errFull
				}
			}
			return true, nil
		}}
		c := newContents(t, s, cache.ContentOptions{})
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(2, segment)}
		r := fill(t, c, content.Digest, src)
		if _, err := io.ReadAll(r); !errors.Is(err, cache.ErrStore) || !errors.Is(err, errFull) {
			t.Errorf("read: %v, want ErrStore", err)
		}
		closeReader(t, r)
	})
}

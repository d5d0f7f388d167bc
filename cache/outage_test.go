package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

var errOut = fmt.Errorf("%w: restarts", cache.ErrUnavailable)

// outage is a source that breaks off after so many bytes and is unavailable for a while.
func outage(content storetest.Content, after int64, lasts time.Duration) *source {
	src := &source{content: content.Bytes}
	var back time.Time
	src.answer = func(_ context.Context, n int, offset int64) (cache.Part, error) {
		switch {
		case n == 0 && after > 0:
			back = time.Now().Add(lasts)
			return src.cut(0, after), nil
		case time.Now().Before(back) || after == 0:
			return cache.Part{}, errOut
		}
		return src.part(offset), nil
	}
	return src
}

// TestOutage: who has a part already waits for the source, for half a minute; who has
// nothing does not.
func TestOutage(t *testing.T) {
	content := storetest.Random(1, 200_000)
	for _, test := range []struct {
		name        string
		after       int64
		lasts       time.Duration
		least, most time.Duration
		want        error
	}{
		{"short", 100_000, 10 * time.Second, 10 * time.Second, 12 * time.Second, nil},
		{"nearly too long", 1, 29 * time.Second, 29 * time.Second, 31 * time.Second, nil},
		{"too long", 100_000, time.Hour, 30 * time.Second, 32 * time.Second, errOut},
		{"at the beginning", 0, time.Second, 0, 0, errOut},
	} {
		for form, open := range map[string]func(context.Context, *cache.Contents, *source) (*cache.Reader, error){
			"kept": func(ctx context.Context, c *cache.Contents, src *source) (*cache.Reader, error) {
				return c.Fill(ctx, content.Digest, src)
			},
			"passed through": func(ctx context.Context, c *cache.Contents, src *source) (*cache.Reader, error) {
				return c.PassThrough(ctx, content.Digest, src, cache.ErrStore)
			},
		} {
			t.Run(test.name+", "+form, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newContents(t, openDisk(t), cache.ContentOptions{})
					src := outage(content, test.after, test.lasts)
					began := time.Now()
					r, err := open(t.Context(), c, src)
					if err == nil && test.want == nil {
						wantContent(t, r, content.Bytes)
					} else if err == nil {
						_, err = io.ReadAll(r)
						closeReader(t, r)
					}
					if !errors.Is(err, test.want) {
						t.Errorf("%v, want %v", err, test.want)
					}
					if took := time.Since(began); took < test.least || took > test.most {
						t.Errorf("after %s, want %s to %s", took, test.least, test.most)
					}
					if n := len(src.offsets); n > 30 {
						t.Errorf("opened %d times", n)
					}
				})
			})
		}
	}
}

// TestOutageIsNotWaitedForWhereOthersHaveIt: a fill goes on from another source at once.
func TestOutageIsNotWaitedForWhereOthersHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 200_000)
		first, other := placedAt("here", content), placedAt("there", content)
		first.source = outage(content, 100_000, time.Hour)
		r := fill(t, c, content.Digest, first)
		synctest.Wait() // the source has broken off
		began := time.Now()
		joined := fill(t, c, content.Digest, other)
		wantContent(t, r, content.Bytes)
		wantContent(t, joined, content.Bytes)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("waited %s", took)
		}
		other.copied.wantOpens(t, 100_000)
	})
}

// TestOutageOfAPausedFill: who comes to a paused fill has nothing to lose.
func TestOutageOfAPausedFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{Orphans: -1})
		content := storetest.Random(1, 2000)
		leaveHalf(t, c, content)
		src := &source{answer: func(context.Context, int, int64) (cache.Part, error) { return cache.Part{}, errOut }}
		began := time.Now()
		r, err := c.Fill(t.Context(), content.Digest, src)
		if err == nil {
			_, err = io.ReadAll(r)
			closeReader(t, r)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%v after %s, %d opens", err, took, len(src.offsets))
		}
	})
}

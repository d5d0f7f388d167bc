package cache_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

// placed is a source of some places, whose one copy is another.
type placed struct {
	*source
	places string
	copied *source
	copies int // made
}

func (p *placed) Copy() cache.Source {
	p.copies++
	return p.copied
}

func (p *placed) Places() string { return p.places }

func placedAt(places string, content storetest.Content) *placed {
	return &placed{source: &source{content: content.Bytes}, places: places, copied: &source{content: content.Bytes}}
}

// failsAt makes a source that delivers n bytes and then fails with err, when it is told to.
func failsAt(content storetest.Content, n int64, err error) (*placed, chan struct{}) {
	src, fail := placedAt("first", content), make(chan struct{})
	src.answer = func(_ context.Context, opened int, offset int64) (cache.Part, error) {
		if opened > 0 || n == 0 {
			<-fail
			return cache.Part{}, err
		}
		return src.cut(offset, n), nil
	}
	return src, fail
}

// read reads all that a fill from src has, and closes src's reader.
func read(t *testing.T, c *cache.Contents, content storetest.Content, src cache.Source) ([]byte, error) {
	r, err := c.Fill(t.Context(), content.Digest, src)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// TestSpare: a fill whose source fails goes on where it stands from that of a client that
// joined it with another.
func TestSpare(t *testing.T) {
	down := errors.New("the first is down")
	for name, test := range map[string]struct {
		came   int64
		places []string // of those who join
		opened []bool   // their copies
		fails  bool
	}{
		"before it answered": {0, []string{"second"}, []bool{true}, false},
		"in the middle":      {100_000, []string{"second"}, []bool{true}, false},
		"of the same places": {0, []string{"first"}, []bool{false}, true},
		"one is enough":      {100_000, []string{"second", "second", "third"}, []bool{true, false, false}, false},
		"none":               {100_000, nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				content := storetest.Random(1, 200_000)
				c := newContents(t, openDisk(t), cache.ContentOptions{})
				first, fail := failsAt(content, test.came, down)
				sources := []*placed{first}
				for _, places := range test.places {
					sources = append(sources, placedAt(places, content))
				}
				ended := make(chan error)
				for _, src := range sources {
					go func() {
						b, err := read(t, c, content, src)
						if err == nil && string(b) != string(content.Bytes) {
							err = errors.New("other bytes")
						}
						ended <- err
					}()
					synctest.Wait()
				}
				close(fail)
				for range sources {
					if err := <-ended; test.fails != errors.Is(err, down) || !test.fails && err != nil {
						t.Errorf("it ended with %v, want %v: %t", err, down, test.fails)
					}
				}
				finish(t, c)
				for i, src := range sources {
					src.wantClosed(t)
					if i == 0 {
						continue
					}
					src.wantOpens(t)
					var want []int64
					if test.opened[i-1] {
						want = []int64{test.came}
					}
					src.copied.wantOpens(t, want...)
					if src.copied.closed != src.copies {
						t.Errorf("a copy was closed %d times of %d", src.copied.closed, src.copies)
					}
				}
			})
		})
	}
}

// TestSparesThatFail: the error is the first source's, and there is an end to it.
func TestSparesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := storetest.Random(1, 200_000)
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		down, opened := errors.New("the first is down"), 0
		first, fail := failsAt(content, 0, down)
		ended := make(chan error)
		begin := func(src cache.Source) {
			go func() { _, err := read(t, c, content, src); ended <- err }()
			synctest.Wait()
		}
		begin(first)
		for _, places := range []string{"b", "c", "d", "e", "f"} {
			src := placedAt(places, content)
			src.copied.answer = func(context.Context, int, int64) (cache.Part, error) {
				opened++
				return cache.Part{}, errors.New("down, too")
			}
			begin(src)
		}
		close(fail)
		for range 6 {
			if err := <-ended; !errors.Is(err, down) {
				t.Errorf("it ended with %v", err)
			}
		}
		if opened != 3 {
			t.Errorf("%d others were asked, want 3", opened)
		}
	})
}

package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

// TestBreaks cuts the source at random offsets: it is asked again at just these.
func TestBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		for round := range 10 {
			content := storetest.Random(uint64(round), 1+rand.IntN(300_000))
			size := int64(len(content.Bytes))
			want := []int64{0}
			src := &source{content: content.Bytes}
			src.answer = func(_ context.Context, n int, offset int64) (cache.Part, error) {
				if n == 3 {
					return src.part(offset), nil
				}
				length := rand.Int64N(size - offset)
				want = append(want, offset+length)
				return src.cut(offset, length), nil
			}
			wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
			src.wantOpens(t, want...)
		}
	})
}

// TestBudget: a source may break for ever as long as it makes progress, and is given up
// when it makes none.
func TestBudget(t *testing.T) {
	for _, test := range []struct {
		name     string
		progress int64
		opens    int
		ok       bool
	}{
		{"none", 0, 4, false},
		{"too little", 100_000, 4, false},
		{"enough", 4 << 20, 5, true},
		{"a quarter more than enough", 5 << 20, 4, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newContents(t, openDisk(t), cache.ContentOptions{})
				content := storetest.Random(1, 20<<20)
				src := &source{content: content.Bytes}
				src.answer = func(_ context.Context, n int, offset int64) (cache.Part, error) {
					return src.cut(offset, min(test.progress, int64(len(content.Bytes))-offset)), nil
				}
				r := fill(t, c, content.Digest, src)
				if test.ok {
					wantContent(t, r, content.Bytes)
				} else {
					b, err := io.ReadAll(r)
					if !errors.Is(err, errCut) || !errors.Is(r.Err(), errCut) || int64(len(b)) != 4*test.progress {
						t.Errorf("read %d bytes, %v, want %d and the cut", len(b), err, 4*test.progress)
					}
					closeReader(t, r)
					wantNotHeld(t, c, content.Digest)
				}
				if len(src.offsets) != test.opens {
					t.Errorf("opened at %v, want %d times", src.offsets, test.opens)
				}
			})
		})
	}
}

// TestSources has sources answer in every way that is allowed, and every other.
func TestSources(t *testing.T) {
	content := storetest.Random(1, 200_000)
	size := int64(len(content.Bytes))
	part := func(from, to, offset, total int64) (cache.Part, error) {
		return cache.Part{Body: io.NopCloser(bytes.NewReader(content.Bytes[from:to])), Offset: offset, Total: total}, nil
	}
	longer := append(bytes.Clone(content.Bytes), 'x')
	for _, test := range []struct {
		name string
		// answer answers the n-th Open; the second and later ones are for offset.
		answer func(n int, offset int64) (cache.Part, error)
		opens  []int64
		want   error
		any    bool
	}{
		{"ends early, goes on", func(n int, offset int64) (cache.Part, error) {
			return part(offset, min(size, offset+150_000), offset, size)
		}, []int64{0, 150_000}, nil, false},
		{"starts over", func(n int, _ int64) (cache.Part, error) {
			return part(0, []int64{150_000, size}[n], 0, size)
		}, []int64{0, 150_000}, nil, false},
		{"starts somewhat earlier", func(n int, _ int64) (cache.Part, error) {
			return part([]int64{0, 149_000}[n], []int64{150_000, size}[n], []int64{0, 149_000}[n], size)
		}, []int64{0, 150_000}, nil, false},
		{"starts over and ends before the offset reached", func(n int, _ int64) (cache.Part, error) {
			return part(0, []int64{150_000, 100_000, size}[n], 0, size)
		}, []int64{0, 150_000, 150_000}, nil, false},
		{"tells the total later", func(n int, offset int64) (cache.Part, error) {
			p, err := part(offset, size, offset, []int64{-1, size}[n])
			if n == 0 {
				p.Body = io.NopCloser(io.MultiReader(io.LimitReader(p.Body, 1000), failing{errCut}))
			}
			return p, err
		}, []int64{0, 1000}, nil, false},
		{"starts later", func(n int, offset int64) (cache.Part, error) {
			return part(offset+1, size, offset+1, size)
		}, []int64{0}, nil, true},
		{"starts before the beginning", func(n int, offset int64) (cache.Part, error) {
			return part(0, size, -1, size)
		}, []int64{0}, nil, true},
		{"changes the total", func(n int, offset int64) (cache.Part, error) {
			return part(offset, []int64{150_000, size}[n], offset, size+int64(n))
		}, []int64{0, 150_000}, cache.ErrLength, false},
		{"tells a total below what came", func(n int, offset int64) (cache.Part, error) {
			p, err := part(0, size, 0, []int64{-1, 500}[n])
			p.Body = io.NopCloser(io.MultiReader(io.LimitReader(p.Body, 1000), failing{errCut}))
			return p, err
		}, []int64{0, 1000}, cache.ErrLength, false},
		{"more than the total", func(int, int64) (cache.Part, error) {
			return cache.Part{Body: io.NopCloser(bytes.NewReader(longer)), Total: size}, nil
		}, []int64{0}, cache.ErrLength, false},
		{"more, with the total unknown", func(int, int64) (cache.Part, error) {
			return cache.Part{Body: io.NopCloser(bytes.NewReader(longer)), Total: -1}, nil
		}, []int64{0}, cache.ErrMismatch, false},
		{"less, with the total unknown", func(int, int64) (cache.Part, error) { return part(0, size-1, 0, -1) }, []int64{0}, cache.ErrMismatch, false},
		{"less, with the total wrong", func(int, int64) (cache.Part, error) { return part(0, size-1, 0, size-1) }, []int64{0}, cache.ErrMismatch, false},
		{"nothing, and says so", func(int, int64) (cache.Part, error) { return part(0, 0, 0, 0) }, []int64{0}, cache.ErrMismatch, false},
		{"other bytes", func(int, int64) (cache.Part, error) {
			return cache.Part{Body: io.NopCloser(bytes.NewReader(make([]byte, size))), Total: size}, nil
		}, []int64{0}, cache.ErrMismatch, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openDisk(t)
				c := newContents(t, s, cache.ContentOptions{})
				src := &source{answer: func(_ context.Context, n int, offset int64) (cache.Part, error) { return test.answer(n, offset) }}
				got, err := readFill(t, c, content.Digest, src)
				src.wantOpens(t, test.opens...)
				finish(t, c)
				if test.want == nil && !test.any {
					if err != nil || !bytes.Equal(got, content.Bytes) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
					wantHeld(t, c, content)
					return
				}
				if err == nil || !test.any && !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if len(got) >= len(longer) {
					t.Errorf("read all %d bytes of bad content", len(got))
				}
				wantNotHeld(t, c, content.Digest)
			})
		})
	}
}

// readFill fills and reads as far as it goes.
func readFill(t *testing.T, c *cache.Contents, d digest.Digest, src cache.Source) ([]byte, error) {
	t.Helper()
	r, err := c.Fill(t.Context(), d, src)
	if err != nil {
		return nil, err
	}
	defer closeReader(t, r)
	return io.ReadAll(r)
}

// TestFillStoreFaults: what the store does wrong ends the fill, except at the commit,
// when the followers have what they came for. The next one to ask starts anew.
func TestFillStoreFaults(t *testing.T) {
	errFull := errors.New("no space left on device")
	for _, test := range []struct {
		name, op string
		apply    bool
		err      error
		ok, held bool
	}{
		{"ok", "", true, nil, true, true},
		{"stage", "stage", false, errFull, false, false},
		{"write", "write", false, errFull, false, false},
		{"write applied", "write", true, errFull, false, false},
		{"commit", "commit", false, errFull, true, false},
		{"commit applied", "commit", true, errFull, true, true},
		{"look", "open", false, errFull, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := storetest.Random(1, 200_000)
			ill := true
			s := &faulty{Store: openDisk(t), fault: func(op string, _ digest.Digest) (bool, error) {
				if ill && op == test.op {
					return test.apply, test.err
				}
				return true, nil
			}}
			c := newContents(t, s, cache.ContentOptions{})
			got, err := readFill(t, c, content.Digest, &source{content: content.Bytes})
			if test.ok && (err != nil || !bytes.Equal(got, content.Bytes)) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
			if !test.ok && (!errors.Is(err, cache.ErrStore) || !errors.Is(err, errFull)) {
				t.Errorf("%v, want ErrStore", err)
			}
			finish(t, c)
			ill = false
			if test.held {
				wantHeld(t, c, content)
				return
			}
			wantNotHeld(t, c, content.Digest)
			next := newContents(t, s, cache.ContentOptions{})
			again := &source{content: content.Bytes}
			wantContent(t, fill(t, next, content.Digest, again), content.Bytes)
			again.wantOpens(t, 0)
		})
	}
}

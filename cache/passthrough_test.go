package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

var errFull = fmt.Errorf("%w: %w", cache.ErrStore, syscall.ENOSPC)

// unknown is a source that does not tell the size.
func unknown(c storetest.Content) *source {
	s := &source{content: c.Bytes}
	s.answer = func(_ context.Context, _ int, offset int64) (cache.Part, error) {
		part := s.part(offset)
		part.Total = -1
		return part, nil
	}
	return s
}

// broken is a source that breaks off after each stretch of so many bytes.
func broken(c storetest.Content, stretches ...int64) *source {
	s := &source{content: c.Bytes}
	s.answer = func(_ context.Context, n int, offset int64) (cache.Part, error) {
		if n < len(stretches) {
			return s.cut(offset, stretches[n]), nil
		}
		return s.part(max(0, offset-10)), nil // begins earlier than asked
	}
	return s
}

// restarted is a source that begins anew each time, and breaks off after each stretch.
func restarted(c storetest.Content, stretches ...int64) *source {
	s := &source{content: c.Bytes}
	s.answer = func(_ context.Context, n int, _ int64) (cache.Part, error) {
		if n < len(stretches) {
			return s.cut(0, stretches[n]), nil
		}
		return s.part(0), nil
	}
	return s
}

func pass(t *testing.T, c *cache.Contents, d digest.Digest, src cache.Source) *cache.Reader {
	t.Helper()
	r, err := c.PassThrough(t.Context(), d, src, errFull)
	if err != nil {
		t.Fatalf("PassThrough: %v", err)
	}
	return r
}

func TestPassThrough(t *testing.T) {
	large, one, none := storetest.Random(1, 300_000), storetest.Random(2, 1), storetest.Random(3, 0)
	for name, test := range map[string]struct {
		content storetest.Content
		source  func(storetest.Content) *source
		opens   []int64
	}{
		"size known":               {large, func(c storetest.Content) *source { return &source{content: c.Bytes} }, []int64{0}},
		"size unknown":             {large, unknown, []int64{0}},
		"one byte":                 {one, func(c storetest.Content) *source { return &source{content: c.Bytes} }, []int64{0}},
		"one byte, size unknown":   {one, unknown, []int64{0}},
		"nothing":                  {none, func(c storetest.Content) *source { return &source{content: c.Bytes} }, []int64{0}},
		"nothing, size unknown":    {none, unknown, []int64{0}},
		"breaks":                   {large, func(c storetest.Content) *source { return broken(c, 100_000, 0, 50_000) }, []int64{0, 100_000, 100_000, 150_000}},
		"breaks before it goes on": {large, func(c storetest.Content) *source { return restarted(c, 100_000, 50_000) }, []int64{0, 100_000, 100_000}},
	} {
		for way, read := range map[string]func(io.Reader) ([]byte, error){
			"at once":      io.ReadAll,
			"byte by byte": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
			"written": func(r io.Reader) ([]byte, error) {
				var b bytes.Buffer
				_, err := r.(*cache.Reader).WriteTo(&b)
				return b.Bytes(), err
			},
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := cache.NewContents(openDisk(t), cache.ContentOptions{MemoryBytes: -1})
					defer finish(t, c)
					src := test.source(test.content)
					r := pass(t, c, test.content.Digest, src)
					got, err := read(r)
					if err != nil || r.Err() != nil || !bytes.Equal(got, test.content.Bytes) {
						t.Errorf("%d bytes of %d, %v (%v)", len(got), len(test.content.Bytes), err, r.Err())
					}
					if r.Size() != int64(len(test.content.Bytes)) || !r.Unstored() || !r.Complete() {
						t.Errorf("size %d, unstored %t, complete %t", r.Size(), r.Unstored(), r.Complete())
					}
					if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
						t.Errorf("after the end: %d, %v", n, err)
					}
					closeReader(t, r)
					src.wantOpens(t, test.opens...)
					src.wantClosed(t)
					wantNotHeld(t, c, test.content.Digest)
				})
			})
		}
	}
}

// Whatever goes wrong, the last byte does not come.
func TestPassThroughOfBadContent(t *testing.T) {
	content, other := storetest.Random(1, 300_000), storetest.Random(2, 300_000)
	lies := func(total int64) *source {
		s := &source{content: content.Bytes}
		s.answer = func(_ context.Context, n int, offset int64) (cache.Part, error) {
			part := s.cut(offset, 100_000)
			part.Total += int64(n) * total
			return part, nil
		}
		return s
	}
	for name, test := range map[string]struct {
		source *source
		want   error
	}{
		"other bytes":               {&source{content: other.Bytes}, cache.ErrMismatch},
		"other bytes, size unknown": {unknown(other), cache.ErrMismatch},
		"more bytes":                {&source{content: append(bytes.Clone(content.Bytes), 1)}, cache.ErrMismatch},
		"fewer bytes":               {&source{content: content.Bytes[:299_999]}, cache.ErrMismatch},
		"another total":             {lies(1), cache.ErrLength},
		"a total that has passed":   {lies(-250_000), cache.ErrLength},
		"breaks":                    {broken(content, 100_000, 0, 0, 0), errCut},
		"does not open":             {refusing(nil, 1), errRefused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cache.NewContents(openDisk(t), cache.ContentOptions{MemoryBytes: -1})
				defer finish(t, c)
				if test.source.content == nil {
					test.source.content = content.Bytes
				}
				r := pass(t, c, content.Digest, test.source)
				var out bytes.Buffer
				n, err := r.CopyN(&out, 1<<30)
				if !errors.Is(err, test.want) || !errors.Is(r.Err(), test.want) {
					t.Errorf("%v (%v), want %v", err, r.Err(), test.want)
				}
				if total := int64(len(test.source.content)); n >= total || n != int64(out.Len()) {
					t.Errorf("%d bytes came, %d are told, of %d", out.Len(), n, total)
				}
				if _, again := r.Read(make([]byte, 1)); !errors.Is(again, test.want) {
					t.Errorf("again: %v", again)
				}
				closeReader(t, r)
				test.source.wantClosed(t)
			})
		})
	}
}

var errRefused = errors.New("refused")

// refusing answers so many times, breaking off after 1000 bytes, and then not at all.
func refusing(content []byte, times int) *source {
	s := &source{content: content}
	s.answer = func(_ context.Context, n int, offset int64) (cache.Part, error) {
		if n >= times {
			return cache.Part{}, errRefused
		}
		return s.cut(offset, 1000), nil
	}
	return s
}

func TestPassThroughThatDoesNotBegin(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 100)
	src := refusing(nil, 0)
	if _, err := c.PassThrough(t.Context(), content.Digest, src, errFull); err != errRefused { //nolint:errorlint // unchanged
		t.Errorf("%v, want the source's own error", err)
	}
	src.wantClosed(t)
	src = &source{}
	if _, err := c.PassThrough(t.Context(), "md5:d41d8cd98f00b204e9800998ecf8427e", src, errFull); err == nil {
		t.Error("an unsupported digest was taken")
	}
	src.wantClosed(t)
}

func TestPassThroughRanges(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 300_000)
	src := &source{content: content.Bytes}
	r := pass(t, c, content.Digest, src)
	defer closeReader(t, r)
	if end, err := r.Seek(0, io.SeekEnd); err != nil || end != 300_000 {
		t.Fatalf("the end is %d, %v", end, err)
	}
	for _, at := range []int64{0, 100_000, 299_990} {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		if _, err := io.ReadFull(r, b); err != nil || !bytes.Equal(b, content.Bytes[at:at+10]) {
			t.Fatalf("at %d: %x, %v", at, b, err)
		}
	}
	src.wantOpens(t, 0)
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 10)); n > 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("backwards: %d bytes, %v", n, err)
	}
	u := pass(t, c, content.Digest, unknown(content))
	defer closeReader(t, u)
	if _, err := u.Seek(0, io.SeekEnd); err == nil {
		t.Error("the end of an unknown size was found")
	}
}

// Reads end with the context that the reader is bound to, and not with the one before.
func TestPassThroughEndsWithItsContext(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 1000)
	src, feed := fedSource(content)
	first, leave := context.WithCancelCause(t.Context())
	r, err := c.PassThrough(first, content.Digest, src, errFull)
	if err != nil {
		t.Fatal(err)
	}
	second, stop := context.WithCancelCause(t.Context())
	r.Bind(second)
	leave(errors.New("left early"))
	go func() { feed <- content.Bytes[:500] }()
	if _, err := io.ReadFull(r, make([]byte, 499)); err != nil {
		t.Fatal(err)
	}
	stop(errLeft)
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, errLeft) {
		t.Errorf("read: %v", err)
	}
	closeReader(t, r)
	src.wantClosed(t)
}

// A store that does not take content is not offered the same for a while: nobody pays for
// a fill that cannot begin, and the log has one line.
func TestRefusedContentIsNotOfferedAgain(t *testing.T) {
	for reason, fault := range map[string]error{
		"full": syscall.ENOSPC, "read_only": syscall.EROFS, "open_files": syscall.EMFILE, "other": errLeft,
	} {
		for _, op := range []string{"stage", "write", "commit"} {
			t.Run(reason+" at "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &faulty{Store: openDisk(t), fault: func(at string, _ digest.Digest) (bool, error) {
						if at == op {
							return false, fault
						}
						return true, nil
					}}
					log, registry := newJournal(), prometheus.NewRegistry()
					c := cache.NewContents(s, cache.ContentOptions{
						MemoryBytes: -1, Logger: slog.New(log), Metrics: cache.NewMetrics(registry, nil),
					})
					defer finish(t, c)
					content := storetest.Random(1, 100_000)
					opens := 0
					try := func() error {
						src := &source{content: content.Bytes}
						defer func() { src.wantClosed(t); opens += len(src.offsets) }()
						r, err := c.Fill(t.Context(), content.Digest, src)
						if err != nil {
							return err
						}
						_, err = io.Copy(io.Discard, r)
						closeReader(t, r)
						synctest.Wait()
						return err
					}
					if err := try(); op != "commit" && !errors.Is(err, cache.ErrStore) || op == "commit" && err != nil {
						t.Errorf("first: %v", err)
					}
					for range 3 {
						err := try()
						if !errors.Is(err, cache.ErrStore) || !errors.Is(err, fault) {
							t.Fatalf("again: %v", err)
						}
						r, err := c.PassThrough(t.Context(), content.Digest, &source{content: content.Bytes}, err)
						if err != nil {
							t.Fatal(err)
						}
						wantContent(t, r, content.Bytes)
					}
					if opens != 1 {
						t.Errorf("%d times opened for a fill, want once", opens)
					}
					want := "# HELP berth_unstored_pulls_total Answers whose content was passed on without being kept, by what was wrong with the store.\n# TYPE berth_unstored_pulls_total counter\n"
					for _, r := range []string{"full", "open_files", "other", "read_only", "too_large"} {
						n := 0
						switch {
						case r == reason && op == "commit":
							n = 4 // the first of them had its bytes before it was known
						case r == reason:
							n = 3
						}
						want += fmt.Sprintf("berth_unstored_pulls_total{reason=%q} %d\n", r, n)
					}
					if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "berth_unstored_pulls_total"); err != nil {
						t.Error(err)
					}
					if lines := log.take(); len(lines) != 1 || !strings.HasPrefix(lines[0], "ERROR content is not stored, pulls go on without reason="+reason) {
						t.Errorf("the log: %q", lines)
					}
					time.Sleep(time.Minute)
					s.fault = noFault
					wantContent(t, fill(t, c, content.Digest, &source{content: content.Bytes}), content.Bytes)
					synctest.Wait()
					wantHeld(t, c, content)
				})
			})
		}
	}
}

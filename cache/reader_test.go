package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

// TestReadSeek holds a Reader against the standard library's idea of one, from the store
// and behind a fill.
func TestReadSeek(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 5000)
	for range 2 {
		r := fill(t, c, content.Digest, &source{content: content.Bytes})
		if err := iotest.TestReader(r, content.Bytes); err != nil {
			t.Error(err)
		}
		for _, bad := range []struct {
			offset int64
			whence int
		}{{-1, io.SeekStart}, {-5001, io.SeekEnd}, {0, 7}} {
			if at, err := r.Seek(bad.offset, bad.whence); err == nil {
				t.Errorf("Seek(%d, %d): %d, no error", bad.offset, bad.whence, at)
			}
		}
		if at, err := r.Seek(6000, io.SeekStart); err != nil || at != 6000 {
			t.Errorf("Seek past the end: %d, %v", at, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("Read past the end: %d, %v", n, err)
		}
		closeReader(t, r)
	}
}

// TestRange: a range of what has come is served while the rest is on its way, a range
// that has not come is waited for, and the end of unknown content too.
func TestRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 5000)
		feed := make(chan []byte)
		src := &source{answer: func(ctx context.Context, _ int, _ int64) (cache.Part, error) {
			return cache.Part{Body: &fed{ctx: ctx, feed: feed}, Total: -1}, nil
		}}
		go func() { feed <- content.Bytes[:3000] }()
		r := fill(t, c, content.Digest, src)
		if r.Size() != -1 || r.Complete() {
			t.Errorf("size %d, complete %t", r.Size(), r.Complete())
		}
		if _, err := r.Seek(1000, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if n, err := r.CopyN(&got, 1000); n != 1000 || err != nil || !bytes.Equal(got.Bytes(), content.Bytes[1000:2000]) {
			t.Fatalf("CopyN: %d, %v, or other bytes", n, err)
		}
		go func() {
			feed <- content.Bytes[3000:]
			close(feed)
		}()
		if at, err := r.Seek(-500, io.SeekEnd); err != nil || at != 4500 {
			t.Fatalf("Seek: %d, %v", at, err)
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, content.Bytes[4500:]) {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
		if r.Size() != 5000 || !r.Complete() {
			t.Errorf("at the end: size %d, complete %t", r.Size(), r.Complete())
		}
		closeReader(t, r)
	})
}

// TestLastByte: nobody has the last byte before the digest matched; then nobody waits
// for the commit to have it.
func TestLastByte(t *testing.T) {
	good := storetest.Random(1, 100_000)
	other := storetest.Random(2, 100_000)
	for _, test := range []struct {
		name  string
		sent  storetest.Content
		total int64
		want  int
		err   error
	}{
		{"match", good, 100_000, 100_000, nil},
		{"match, total unknown", good, -1, 100_000, nil},
		{"mismatch", other, 100_000, 99_999, cache.ErrMismatch},
		{"mismatch, total unknown", other, -1, 99_999, cache.ErrMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newContents(t, openDisk(t), cache.ContentOptions{})
				feed := make(chan []byte)
				src := &source{answer: func(ctx context.Context, _ int, _ int64) (cache.Part, error) {
					return cache.Part{Body: &fed{ctx: ctx, feed: feed}, Total: test.total}, nil
				}}
				go func() { feed <- test.sent.Bytes[:99_999] }()
				r := fill(t, c, good.Digest, src)
				defer closeReader(t, r)
				var got bytes.Buffer
				copied := make(chan error)
				go func() {
					_, err := r.WriteTo(&got)
					copied <- err
				}()
				synctest.Wait()
				before := 99_999
				if test.total < 0 {
					before-- // it might have been the last
				}
				if got.Len() != before {
					t.Errorf("%d bytes before the last one came, want %d", got.Len(), before)
				}
				feed <- test.sent.Bytes[99_999:]
				close(feed)
				if err := <-copied; !errors.Is(err, test.err) || !errors.Is(r.Err(), test.err) {
					t.Errorf("WriteTo: %v (%v), want %v", err, r.Err(), test.err)
				}
				if !bytes.Equal(got.Bytes(), test.sent.Bytes[:test.want]) {
					t.Errorf("%d bytes written, want %d", got.Len(), test.want)
				}
			})
		})
	}
}

// TestSlowFollower: one that does not read holds up neither the fill nor others.
func TestSlowFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 1<<20)
		src, feed := fedSource(content)
		slow, fast := fill(t, c, content.Digest, src), fill(t, c, content.Digest, src)
		stalled, unstall := io.Pipe()
		copied := make(chan error)
		go func() {
			_, err := slow.WriteTo(unstall)
			copied <- errors.Join(err, unstall.Close())
		}()
		feed <- content.Bytes
		wantContent(t, fast, content.Bytes)
		finish(t, c)
		wantHeld(t, c, content)
		b, err := io.ReadAll(stalled)
		if err != nil || !bytes.Equal(b, content.Bytes) {
			t.Errorf("slow one read %d bytes, %v", len(b), err)
		}
		if err := <-copied; err != nil {
			t.Error(err)
		}
		closeReader(t, slow)
	})
}

// TestReaderContext: a wait ends with the reader's own context, the fill goes on.
func TestReaderContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 2000)
		src, feed := fedSource(content)
		ctx, cancel := context.WithCancel(t.Context())
		r, err := c.Fill(ctx, content.Digest, src)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			feed <- content.Bytes[:1000]
			synctest.Wait()
			cancel()
		}()
		b, err := io.ReadAll(r)
		if len(b) != 1000 || !errors.Is(err, context.Canceled) || !errors.Is(r.Err(), context.Canceled) {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
		closeReader(t, r)
		feed <- content.Bytes[1000:]
		finish(t, c)
		wantHeld(t, c, content)
	})
}

// TestWriterError: the writer's error is not the reader's.
func TestWriterError(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 100_000)
	for _, from := range []string{"fill", "store"} {
		r := fill(t, c, content.Digest, &source{content: content.Bytes})
		var got bytes.Buffer
		n, err := r.WriteTo(&limited{w: &got, left: 40_000})
		if !errors.Is(err, errLeft) || r.Err() != nil || n != 40_000 {
			t.Errorf("%s: WriteTo: %d, %v (%v)", from, n, err, r.Err())
		}
		// What was read and not written is not lost.
		if _, err := r.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), content.Bytes) {
			t.Errorf("%s: %d bytes, %v", from, got.Len(), err)
		}
		closeReader(t, r)
	}
}

// TestTruncatedUnderneath: a file that ends too early is the reader's error.
func TestTruncatedUnderneath(t *testing.T) {
	c := newContents(t, &faulty{Store: shortStore{openDisk(t)}, fault: noFault}, cache.ContentOptions{})
	content := storetest.Random(1, 100_000)
	for name, read := range map[string]func(r *cache.Reader) error{
		"Read":    func(r *cache.Reader) error { _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); return err },
		"WriteTo": func(r *cache.Reader) error { _, err := r.WriteTo(io.Discard); return err },
	} {
		if err := c.Put(t.Context(), content.Digest, content.Bytes); err != nil {
			t.Fatal(err)
		}
		r, err := c.Open(t.Context(), content.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := read(r); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(r.Err(), io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v (%v)", name, err, r.Err())
		}
		closeReader(t, r)
	}
}

// TestSendfile: the writer's ReadFrom gets the *os.File under one io.LimitedReader, from
// the store and behind a fill.
func TestSendfile(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 100_000)
	for _, from := range []string{"fill", "store"} {
		r := fill(t, c, content.Digest, &source{content: content.Bytes})
		var got fileTaker
		if n, err := r.WriteTo(&got); err != nil || n != 100_000 {
			t.Errorf("%s: WriteTo: %d, %v", from, n, err)
		}
		if got.files == 0 || got.others != 0 {
			t.Errorf("%s: ReadFrom got %d files and %d others", from, got.files, got.others)
		}
		closeReader(t, r)
	}
}

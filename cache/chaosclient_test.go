package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
)

// errStuck is that a client got nothing in an hour, of which no source takes more than
// minutes.
var errStuck = errors.New("waited for an hour")

// operation is what a client of a bubble does again and again.
func (b *bubble) operation(t *testing.T) {
	time.Sleep(b.upTo(1500 * time.Millisecond))
	i := b.below(len(b.origins))
	if b.oneIn(3) {
		i = 4 + b.below(4) // what is popular, of sizes from 140 kB to 2.5 MB
	}
	b.get(t, b.origins[i])
	switch content := b.origins[i].content; b.below(30) {
	case 0:
		b.check(t, "Delete", b.contents.Delete(t.Context(), content.Digest))
	case 1:
		b.limit(int64(1+b.below(10)) << 20)
	case 2:
		b.check(t, "Put", b.contents.Put(t.Context(), content.Digest, content.Bytes))
	case 3:
		got, err := b.contents.ReadAll(t.Context(), content.Digest, 10<<20)
		b.check(t, "ReadAll", err)
		if err == nil && !bytes.Equal(got, content.Bytes) {
			t.Error("ReadAll: wrong bytes")
		}
	}
}

// check wants a call to fail only for content that is not held or has no room, or with the
// store that was made to.
func (b *bubble) check(t *testing.T, call string, err error) {
	switch {
	case err == nil, errors.Is(err, cache.ErrNotHeld), b.faulty && errors.Is(err, cache.ErrStore), errors.Is(err, store.ErrFull):
	default:
		t.Errorf("%s: %v", call, err)
	}
}

// get asks for the content of o as a pull does, and reads some of it or all. One client in
// three may leave meanwhile.
func (b *bubble) get(t *testing.T, o *chaosOrigin) {
	ctx, leave := context.WithTimeoutCause(t.Context(), time.Hour, errStuck)
	defer leave()
	if b.oneIn(3) {
		time.AfterFunc(b.upTo(8*time.Second), leave)
	}
	digest := o.content.Digest
	r, err := b.contents.Fill(ctx, digest, o.source(strconv.Itoa(b.below(6))))
	if errors.Is(err, cache.ErrStore) && ctx.Err() == nil {
		b.count("passed through")
		r, err = b.contents.PassThrough(ctx, digest, o.source(""), err)
	}
	if err != nil {
		b.judge(ctx, t, o, answer{err: err})
		return
	}
	b.judge(ctx, t, o, b.read(r, int64(len(o.content.Bytes))))
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// answer is what a client got of a content: bytes from an offset on, and with ended all.
type answer struct {
	offset int64
	bytes  []byte
	ended  bool
	err    error
}

// read reads content of size bytes in one of many ways.
func (b *bubble) read(r *cache.Reader, size int64) (a answer) {
	var got bytes.Buffer
	switch b.below(5) {
	case 0:
		_, a.err = got.ReadFrom(r)
		a.ended = a.err == nil
	case 1:
		_, a.err = r.WriteTo(&got)
		a.ended = a.err == nil
	case 2:
		a.offset = int64(b.below(int(size) + 1))
		if _, a.err = r.Seek(a.offset, io.SeekStart); a.err == nil {
			_, a.err = r.CopyN(&got, int64(b.below(int(size-a.offset)+2)))
		}
	case 3:
		a.ended, a.err = b.dawdle(r, &got)
	case 4:
		_, a.err = r.CopyN(&got, int64(b.below(int(size)+2)))
	}
	if errors.Is(a.err, io.EOF) {
		a.ended, a.err = true, nil
	}
	a.bytes = got.Bytes()
	return a
}

// dawdle reads slowly, and leaves in the middle now and then.
func (b *bubble) dawdle(r io.Reader, got *bytes.Buffer) (ended bool, err error) {
	for !b.oneIn(20) {
		_, err := io.CopyN(got, r, 100_000)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		time.Sleep(b.upTo(500 * time.Millisecond))
	}
	return false, nil
}

// judge holds an answer against what must never happen.
func (b *bubble) judge(ctx context.Context, t *testing.T, o *chaosOrigin, a answer) {
	cause, want := context.Cause(ctx), o.content.Bytes[a.offset:]
	last := len(a.bytes) > 0 && len(a.bytes) >= len(want)
	right := len(a.bytes) <= len(want) && bytes.Equal(a.bytes, want[:len(a.bytes)])
	whole := right && len(a.bytes) == len(want)
	what := fmt.Sprintf("%d bytes from %d of %d, ended %t: %v", len(a.bytes), a.offset, len(o.content.Bytes), a.ended, a.err)
	switch {
	case a.ended && !whole, last && !right:
		t.Errorf("wrong bytes as if they were right: %s", what)
	case !right && !o.wrong:
		t.Errorf("bytes that no source has: %s", what)
	case errors.Is(cause, errStuck):
		t.Errorf("%v: %s", errStuck, what)
	case cause != nil:
		b.count("left")
	case a.err != nil && o.honest:
		t.Errorf("nothing was wrong with the source: %s", what)
	case a.err != nil && !isChaos(a.err):
		t.Errorf("unknown error: %s", what)
	case errors.Is(a.err, cache.ErrMismatch):
		b.count("mismatches")
	case a.err != nil:
		b.count("failed")
	case a.ended:
		b.count("whole")
	default:
		b.count("ranges")
	}
}

// isChaos tells whether err is what comes of sources and stores in chaos.
func isChaos(err error) bool {
	for _, known := range []error{errChaos, cache.ErrMismatch, cache.ErrLength, cache.ErrStore, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

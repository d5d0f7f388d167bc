package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// Reader reads one content, from the store or behind the fill that brings it in. Reading
// past what has come waits for it, until the context that the Reader was opened with
// ends. A Reader is for one goroutine; Close must be called, and only Size may
// be called with it.
type Reader struct {
	// ctx is in the struct because io's methods take none.
	ctx     context.Context
	content store.Content
	// contents and digest are whose and which this is; nil and empty for what is in memory or
	// passed through.
	contents *Contents
	digest   digest.Digest
	// fill is nil for content from the store, whose size is size.
	fill *fill
	size int64
	// stream is content, where it is passed through.
	stream *stream
	// pos is the next byte to read; behind tells that content's own offset is another.
	pos    int64
	behind bool
	err    error
	closed bool
}

var (
	_ io.ReadSeekCloser = (*Reader)(nil)
	_ io.WriterTo       = (*Reader)(nil)
)

// Bind makes reads end with ctx instead of the context that the Reader was opened
// with: whoever opened it hands it on.
func (r *Reader) Bind(ctx context.Context) {
	r.ctx = ctx
	if r.stream != nil {
		r.stream.bind(ctx)
	}
}

// Unstored tells whether what is read comes straight from the source: it can be read
// forwards only, and nothing of it is kept.
func (r *Reader) Unstored() bool { return r.stream != nil }

// Size returns the size of the whole content in bytes, -1 while it is unknown.
func (r *Reader) Size() int64 {
	switch {
	case r.stream != nil:
		return r.stream.total
	case r.fill == nil:
		return r.size
	}
	return r.fill.progress.total()
}

// Err returns the error that reading ended with: the fill's, the store's or the
// context's, never that of a writer that was written to. An end that was reached is none.
func (r *Reader) Err() error { return r.err }

// Read implements io.Reader. io.EOF comes only after verified content's last byte.
func (r *Reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	end, err := r.await()
	if err != nil {
		return 0, err
	}
	if err := r.align(); err != nil {
		return 0, err
	}
	n, err := r.content.Read(b[:min(int64(len(b)), end-r.pos)])
	r.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		return n, r.unread(unexpected(err))
	}
	return n, nil
}

// all reads all of a content whose size is known.
func (r *Reader) all() ([]byte, error) {
	b := make([]byte, r.Size())
	_, err := io.ReadFull(r, b)
	return b, err
}

// verified is all of content from the store, if it is what its digest says: for what is read
// once and then served many times.
func (r *Reader) verified() ([]byte, error) {
	b, err := r.all()
	if err != nil {
		return nil, err
	}
	if err := verify(r.digest, b); err != nil {
		r.contents.lose(r, err)
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, err)
	}
	return b, nil
}

// WriteTo implements io.WriterTo: CopyN to the end.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.CopyN(w, math.MaxInt64)
	if errors.Is(err, io.EOF) && r.err == nil {
		err = nil
	}
	return n, err
}

// CopyN copies n bytes to w, as they come, and returns how many it did and why not all;
// io.EOF is the content's end. It hands the *os.File underneath to w's ReadFrom, so that
// the kernel sends the bytes. Err tells whether an error was this side's.
func (r *Reader) CopyN(w io.Writer, n int64) (int64, error) {
	if m, ok := r.content.(memory); ok {
		return r.copyMemory(w, m, n)
	}
	var done int64
	for done < n {
		end, err := r.await()
		if err != nil {
			return done, err
		}
		if err := r.align(); err != nil {
			return done, err
		}
		step := min(n-done, end-r.pos)
		m, err := io.CopyN(w, r.content, step)
		done += m
		r.pos += m
		if err != nil {
			// What was read may be more than what was written.
			r.behind = true
			return done, r.attribute(err)
		}
	}
	return done, nil
}

// copyMemory is CopyN for content that is in memory: one write of what is there.
func (r *Reader) copyMemory(w io.Writer, m memory, n int64) (int64, error) {
	end, err := r.await()
	if err != nil {
		return 0, err
	}
	stretch := m.bytes[r.pos : r.pos+min(n, end-r.pos)]
	written, err := w.Write(stretch)
	r.pos += int64(written)
	r.behind = true
	if err == nil && int64(written) < n {
		err = io.EOF
	}
	return int64(written), err
}

// Seek implements io.Seeker. io.SeekEnd waits for the size if it is unknown.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		size := r.Size()
		if size < 0 && r.stream != nil {
			return r.pos, r.fail(fmt.Errorf("seek content: its size is not known: %w", fs.ErrInvalid))
		}
		if r.fill != nil {
			var err error
			if size, err = r.fill.progress.awaitTotal(r.ctx); err != nil {
				return r.pos, r.fail(err)
			}
		}
		offset += size
	default:
		return r.pos, fmt.Errorf("seek content: whence %d: %w", whence, fs.ErrInvalid)
	}
	if offset < 0 {
		return r.pos, fmt.Errorf("seek content: offset %d: %w", offset, fs.ErrInvalid)
	}
	r.behind = r.behind || offset != r.pos
	r.pos = offset
	return offset, nil
}

// Close implements io.Closer. The fill goes on, or pauses if this was its last follower
// and enough others run without one.
func (r *Reader) Close() error {
	if r.closed {
		return fs.ErrClosed
	}
	r.closed = true
	err := r.content.Close()
	if r.fill != nil {
		r.contents.leave(r.fill)
	}
	return err
}

// await waits until there is something at pos and returns where that ends.
func (r *Reader) await() (int64, error) {
	if r.fill != nil {
		end, err := r.fill.progress.awaitBytes(r.ctx, r.pos)
		if err == nil || errors.Is(err, io.EOF) {
			return end, err
		}
		if err := r.divert(err); err != nil {
			return 0, r.fail(err)
		}
	}
	if r.ctx.Err() != nil {
		return 0, r.fail(context.Cause(r.ctx))
	}
	end := r.size
	if r.stream != nil {
		end = r.stream.limit()
	}
	if r.pos >= end {
		return 0, io.EOF
	}
	return end, nil
}

// align brings content's own offset to pos.
func (r *Reader) align() error {
	if !r.behind {
		return nil
	}
	if _, err := r.content.Seek(r.pos, io.SeekStart); err != nil {
		return r.fail(fmt.Errorf("seek content: %w", err))
	}
	r.behind = false
	return nil
}

// attribute records err if it is the reading side's: that of a file that ends too early
// or cannot be read. Everything else is the writer's.
func (r *Reader) attribute(err error) error {
	if r.stream != nil {
		return r.attributeStream(err)
	}
	if errors.Is(err, io.EOF) {
		return r.unread(io.ErrUnexpectedEOF)
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok && pathErr.Op == "read" {
		return r.unread(err)
	}
	return err
}

// unread records that content cannot be read because of err. What the store has of it is
// worth nothing, while an upstream may have it still.
func (r *Reader) unread(err error) error {
	if r.contents != nil && r.fill == nil && r.stream == nil {
		r.contents.lose(r, err)
	}
	return r.fail(fmt.Errorf("read content: %w", err))
}

// attributeStream is attribute for a stream, which knows its own error. The end of one
// whose size was not known is none.
func (r *Reader) attributeStream(err error) error {
	if r.stream.err == nil || r.stream.ended() {
		return err
	}
	return r.fail(fmt.Errorf("read content: %w", r.stream.err))
}

func (r *Reader) fail(err error) error {
	r.err = err
	return err
}

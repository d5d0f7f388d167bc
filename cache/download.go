package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// readBytes is how much is read from a source at a time, and so what a connection of
// a fill takes of memory.
const readBytes = 256 << 10

// buffers are of readBytes; small content does with less.
var buffers = sync.Pool{New: func() any { return new([readBytes]byte) }}

// breakError is the end of a Part before its time: the source may be opened again.
type breakError struct{ err error }

func (e *breakError) Error() string { return e.err.Error() }
func (e *breakError) Unwrap() error { return e.err }

// download takes what is missing from src: over the connection that it is about, which is
// opened again after breaks and alone decides whether the fill fails, and over those of a
// crew beside it.
func (f *fill) download(ctx context.Context, src Source) error {
	crew := newCrew(f, src)
	defer crew.close()
	f.contents.metrics.connect(1)
	defer f.contents.metrics.connect(-1)
	begun := f.progress.bytes()
	budget := budget{since: begun, begun: begun}
	for {
		segment := crew.wanted()
		c, err := f.plan.first(ctx, !segment)
		if c == nil {
			return err
		}
		if segment {
			err = crew.segment(ctx, c)
		} else {
			err = f.front(ctx, crew, c)
		}
		f.plan.end(c)
		if err == nil || segment && ctx.Err() == nil && !errors.Is(err, ErrStore) {
			continue // from now on without segments
		}
		backoff, err := f.bear(err, &budget)
		if err != nil {
			return err
		}
		if err := wait(ctx, backoff); err != nil {
			return err
		}
	}
}

// bear returns how long to wait before the source that failed is opened again, or the error
// if it is not.
func (f *fill) bear(err error, b *budget) (time.Duration, error) {
	arrived := f.progress.bytes()
	broken, isBreak := errors.AsType[*breakError](err)
	if isBreak {
		err = broken.err
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		if backoff, ok := b.outlast(arrived); ok && !f.replaceable() {
			return backoff, nil
		}
	case isBreak:
		if backoff, ok := b.spend(arrived); ok {
			return backoff, nil
		}
		return 0, fmt.Errorf("fill %s: source broke off too often, last after %d bytes: %w", f.digest, arrived, err)
	}
	return 0, err
}

// front opens the source where c begins and takes what comes, until it meets what others
// have. It returns a breakError if the source ended before that.
func (f *fill) front(ctx context.Context, crew *crew, c *claim) error {
	part, err := crew.src.Open(ctx, c.from, -1)
	if err != nil {
		return crew.blame(err)
	}
	if c.from > 0 {
		f.contents.metrics.resume()
	}
	defer part.Body.Close()
	if part.Offset < 0 || part.Offset > c.from {
		return fmt.Errorf("fill %s: source began at %d, asked for %d", f.digest, part.Offset, c.from)
	}
	if err := f.learn(part.Total); err != nil {
		return err
	}
	if err := f.stage(ctx); err != nil {
		return err
	}
	if part.Offset == c.from {
		crew.start(ctx, part.Lanes)
	}
	f.progress.announce(f.total)
	if _, err := io.CopyN(io.Discard, part.Body, c.from-part.Offset); err != nil {
		return &breakError{unexpected(err)}
	}
	return f.copy(ctx, part.Body, c)
}

// learn takes the total that a part tells, which must be the one that is known.
func (f *fill) learn(total int64) error {
	arrived := f.progress.front()
	switch {
	case total < 0 || total == f.total:
		return nil
	case f.total >= 0:
		return fmt.Errorf("fill %s: total was %d bytes, now %d: %w", f.digest, f.total, total, ErrLength)
	case total < arrived:
		return fmt.Errorf("fill %s: total of %d bytes, %d came: %w", f.digest, total, arrived, ErrLength)
	}
	f.total = total
	f.plan.know(total)
	return nil
}

// stage makes room in the store, the first time.
func (f *fill) stage(ctx context.Context) error {
	if f.staged != nil {
		return nil
	}
	staged, err := f.contents.reserve(ctx, f.total)
	if err != nil {
		return storeError(ctx, "stage", err)
	}
	f.staged = staged
	if f.own, err = staged.Open(); err != nil {
		return storeError(ctx, "stage", err)
	}
	return nil
}

// copy keeps what body yields for c, until c ends or, if the total is unknown, the body.
func (f *fill) copy(ctx context.Context, body io.Reader, c *claim) error {
	var buf []byte
	if f.total >= 0 && f.total < readBytes/8 {
		buf = make([]byte, f.total+1)
	} else {
		shared := buffers.Get().(*[readBytes]byte) //nolint:errcheck // there is nothing else in it
		defer buffers.Put(shared)
		buf = shared[:]
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		room := f.plan.room(c)
		if room == 0 {
			return nil
		}
		take := room
		if c.open && c.from+room == f.total {
			// One more than expected, to see that there is more. What comes later than the
			// last expected byte is not waited for: the digest decides.
			take++
		}
		n, err := body.Read(buf[:min(int64(len(buf)), take)])
		if keepErr := f.keep(ctx, c, buf[:n]); keepErr != nil {
			return keepErr
		}
		switch {
		case int64(n) == room: // an error comes again, if there is room for more
		case err == io.EOF && f.total < 0:
			return f.learn(c.from)
		case err != nil:
			return &breakError{unexpected(err)}
		}
	}
}

// keep stages and shows b, which follows what came for c.
func (f *fill) keep(ctx context.Context, c *claim, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if !f.plan.begin(c) {
		return errOvertaken
	}
	to := c.from + int64(len(b))
	if f.total >= 0 && to > f.total {
		return fmt.Errorf("fill %s: more than the total of %d bytes: %w", f.digest, f.total, ErrLength)
	}
	if _, err := f.staged.WriteAt(b, c.from); err != nil {
		return storeError(ctx, "stage", err)
	}
	f.progress.advance(span{c.from, to})
	f.plan.advance(c, len(b))
	return nil
}

// unexpected makes an end that came too early an error that is not io.EOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

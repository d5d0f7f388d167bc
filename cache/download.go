package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

const (
	// readBytes is how much is read from a source at a time.
	readBytes = 64 << 10
	// maxBreaks is how many breaks a source may have; it gets one back for every
	// restoreBytes that came. So a large layer survives many, and a source that makes
	// no progress is given up after these.
	maxBreaks    = 3
	restoreBytes = 4 << 20
	// firstBackoff doubles with each break that was not made good.
	firstBackoff = 100 * time.Millisecond
)

// breakError is the end of a Part before its time: the source may be opened again.
type breakError struct{ err error }

func (e *breakError) Error() string { return e.err.Error() }
func (e *breakError) Unwrap() error { return e.err }

// download takes what is missing from src, opening it again after breaks.
func (f *fill) download(ctx context.Context, src Source) error {
	budget := budget{since: f.arrived}
	for f.arrived != f.total {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.arrived > 0 {
			f.contents.metrics.resume()
		}
		part, err := src.Open(ctx, f.arrived, -1)
		if err != nil {
			return err
		}
		err = f.take(ctx, part)
		broken, ok := errors.AsType[*breakError](err)
		if !ok {
			return err
		}
		backoff, ok := budget.spend(f.arrived)
		if !ok {
			return fmt.Errorf("fill %s: source broke off too often, last after %d bytes: %w", f.digest, f.arrived, broken.err)
		}
		if err := wait(ctx, backoff); err != nil {
			return err
		}
	}
	return nil
}

// take keeps the bytes of part from where the fill stands to where the part ends. It
// returns nil when the content has ended, a breakError when it has not.
func (f *fill) take(ctx context.Context, part Part) error {
	defer part.Body.Close()
	if part.Offset < 0 || part.Offset > f.arrived {
		return fmt.Errorf("fill %s: source began at %d, asked for %d", f.digest, part.Offset, f.arrived)
	}
	if err := f.learn(part.Total); err != nil {
		return err
	}
	if f.staged == nil {
		staged, err := f.contents.store.Stage(ctx, f.total)
		if err != nil {
			return storeError(ctx, "stage", err)
		}
		f.staged = staged
	}
	f.progress.announce(f.total)
	if _, err := io.CopyN(io.Discard, part.Body, f.arrived-part.Offset); err != nil {
		return &breakError{unexpected(err)}
	}
	return f.copy(ctx, part.Body)
}

// learn takes the total that a part tells, which must be the one that is known.
func (f *fill) learn(total int64) error {
	switch {
	case total < 0 || total == f.total:
		return nil
	case f.total >= 0:
		return fmt.Errorf("fill %s: total was %d bytes, now %d: %w", f.digest, f.total, total, ErrLength)
	case total < f.arrived:
		return fmt.Errorf("fill %s: total of %d bytes, %d came: %w", f.digest, total, f.arrived, ErrLength)
	}
	f.total = total
	return nil
}

// copy keeps what body yields until the total is reached or, if that is unknown, the end.
func (f *fill) copy(ctx context.Context, body io.Reader) error {
	buf := make([]byte, readBytes)
	for f.arrived != f.total {
		if err := ctx.Err(); err != nil {
			return err
		}
		room := int64(len(buf))
		if f.total >= 0 {
			// One more than expected, to see that there is more. What comes later than
			// the last expected byte is not waited for: the digest decides.
			room = min(room, f.total-f.arrived+1)
		}
		n, err := body.Read(buf[:room])
		if keepErr := f.keep(ctx, buf[:n]); keepErr != nil {
			return keepErr
		}
		switch {
		case f.arrived == f.total:
			return nil
		case err == io.EOF && f.total < 0:
			f.total = f.arrived
			return nil
		case err != nil:
			return &breakError{unexpected(err)}
		}
	}
	return nil
}

// keep stages, shows and hashes b.
func (f *fill) keep(ctx context.Context, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	arrived := f.arrived + int64(len(b))
	if f.total >= 0 && arrived > f.total {
		return fmt.Errorf("fill %s: more than the total of %d bytes: %w", f.digest, f.total, ErrLength)
	}
	if _, err := f.staged.Write(b); err != nil {
		return storeError(ctx, "stage", err)
	}
	f.arrived = arrived
	f.progress.advance(len(b))
	_, err := f.verifier.Write(b)
	return err
}

// unexpected makes an end that came too early an error that is not io.EOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// budget is how often a source may yet break.
type budget struct {
	spent int64
	// since is the offset up to which progress was made good for breaks.
	since int64
}

// spend takes a break at the offset arrived into account and returns how long to wait
// before the next attempt; false means that there is none.
func (b *budget) spend(arrived int64) (time.Duration, bool) {
	restored := (arrived - b.since) / restoreBytes
	b.since += restored * restoreBytes
	b.spent = max(0, b.spent-restored) + 1
	if b.spent > maxBreaks {
		return 0, false
	}
	backoff := firstBackoff << (b.spent - 1)
	// Between half and all of it: fills that broke together come back apart.
	return backoff/2 + rand.N(backoff/2), true
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

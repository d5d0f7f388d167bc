package cache

import (
	"context"
	"errors"
	"fmt"
)

// rest is what a fill leaves to its followers when the store fails under it: what came
// without a gap is there to be read, and each goes on behind it with a stream of its own.
type rest struct {
	// verifier has hashed everything before from; it is cloned, not used.
	verifier    *verifier
	from, total int64
	source      Copier
}

// remains returns the rest of a fill that ended because of err; nil if there is none.
func (f *fill) remains(ctx context.Context, err error) *rest {
	if !errors.Is(err, ErrStore) || f.own == nil || f.copier == nil {
		return nil
	}
	front := f.progress.front()
	if f.hashTo(ctx, front, make([]byte, hashBytes)) != nil {
		return nil
	}
	return &rest{verifier: f.verifier, from: front, total: f.total, source: f.copier}
}

// stream returns what follows, for one reader.
func (r *rest) stream() (*stream, error) {
	v, err := r.verifier.clone()
	if err != nil {
		return nil, err
	}
	return &stream{
		source: r.source.Copy(), verifier: v, arrived: r.from, total: r.total, budget: budget{since: r.from},
	}, nil
}

// divert has the reader, which has read what there is of a fill that ended because of
// cause, go on without it. It returns cause if that cannot be.
func (r *Reader) divert(cause error) error {
	// Nothing but the fill's own end tells that it has set its rest.
	if !errors.Is(cause, ErrStore) || r.fill.rest == nil {
		return cause
	}
	f, rest := r.fill, r.fill.rest
	s, err := rest.stream()
	if err != nil {
		return errors.Join(cause, err)
	}
	switch {
	case r.pos == rest.from-1:
		// Withheld, as it might have been the last; so it stays.
		if _, err := r.content.ReadAt(s.held[:], r.pos); err != nil {
			closeSource(s.source)
			return fmt.Errorf("read content: %w", err)
		}
		s.holds = true
	case r.pos < rest.from:
		closeSource(s.source)
		return cause
	}
	s.bind(r.ctx)
	r.contents.trouble.unstored(f.digest, cause)
	closeErr := r.content.Close()
	r.content, r.stream, r.fill = s, s, nil
	r.behind = true
	r.contents.leave(f)
	return closeErr
}

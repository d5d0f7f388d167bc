package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// errBackwards says that a Reader of content that is not kept was to read again what has
// passed. It is not fetched twice: a client could make that cost any number of downloads.
var errBackwards = errors.New("content that is not kept cannot be read backwards")

// PassThrough returns a reader of content d straight from src, for who could not have it
// filled because of cause, which is an ErrStore. Nothing is kept and nothing shared: each
// Reader is a download of its own, and holds no more than what it is asked to read. It is
// always read from its beginning, so that all of it is hashed, and its last byte comes only
// when the digest matched; a range costs what stands before it. It returns once the size is
// known or the first byte came. src becomes PassThrough's, as it would Fill's.
func (c *Contents) PassThrough(ctx context.Context, d digest.Digest, src Source, cause error) (*Reader, error) {
	v, err := newVerifier(d)
	if err != nil {
		closeSource(src)
		return nil, fmt.Errorf("pass content: %w", err)
	}
	c.trouble.unstored(d, cause)
	s := &stream{source: src, verifier: v, total: -1}
	s.bind(ctx)
	if err := s.begin(); err != nil {
		_ = s.Close() //nolint:errcheck // the first error says more
		return nil, err
	}
	return &Reader{ctx: ctx, content: s, stream: s}, nil
}

// stream is content on its way from a source to one reader.
type stream struct {
	source   Source
	verifier *verifier
	budget   budget

	// ctx bounds the source, end ends it, and unbind takes it off the reader's context.
	// It is in the struct because io's methods take none.
	ctx    context.Context
	end    context.CancelCauseFunc
	unbind func() bool
	body   io.ReadCloser // nil before the source was opened, and after a break

	// arrived is how many bytes came and were hashed, total how many there are, -1 while
	// unknown.
	arrived, total int64
	// held is the last byte that came, if holds: it may be the content's last, and waits
	// until another follows it or the digest matched.
	held  [1]byte
	holds bool
	// err is why nothing more comes: io.EOF after content that was verified.
	err error
}

var _ store.Content = (*stream)(nil)

// bind makes the source end with ctx, instead of the context that it was bound to.
func (s *stream) bind(ctx context.Context) {
	if s.ctx == nil {
		s.ctx, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	} else {
		s.unbind()
	}
	s.unbind = context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
}

// begin opens the source. Where that does not tell the size it waits for the first byte,
// and where there are none for the digest.
func (s *stream) begin() error {
	if err := s.open(); err != nil {
		return err
	}
	if s.total > 0 {
		return nil
	}
	return s.hold()
}

// hold has a byte held back, unless there is none any more.
func (s *stream) hold() error {
	if s.holds {
		return nil
	}
	n, err := s.fetch(s.held[:])
	s.holds = n > 0
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Read implements io.Reader. io.EOF comes after verified content only.
func (s *stream) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := s.hold(); err != nil {
		return 0, err
	}
	if !s.holds {
		return 0, io.EOF
	}
	// What comes next lands behind the byte that was held, and its last byte is held.
	var one [1]byte
	next := b[1:]
	if len(next) == 0 {
		next = one[:]
	}
	n, err := s.fetch(next)
	switch {
	case n > 0:
		b[0], s.held[0] = s.held[0], next[n-1]
		return n, nil
	case errors.Is(err, io.EOF):
		b[0], s.holds = s.held[0], false
		return 1, nil
	}
	return 0, err
}

// fetch reads and hashes what comes next, opening the source again after breaks. It
// returns either bytes or an error, io.EOF when all has come and matches the digest.
func (s *stream) fetch(b []byte) (int, error) {
	for s.err == nil {
		if s.arrived == s.total {
			s.err = s.verify()
			break
		}
		if s.body == nil {
			s.err = s.reopen()
			continue // it may have broken off again before the content went on
		}
		room := int64(len(b))
		if s.total >= 0 {
			room = min(room, s.total-s.arrived)
		}
		n, err := s.body.Read(b[:room])
		s.arrived += int64(n)
		if _, hashErr := s.verifier.Write(b[:n]); hashErr != nil {
			s.err = hashErr
			break
		}
		switch {
		case errors.Is(err, io.EOF) && s.total < 0:
			s.total = s.arrived
		case err != nil && s.arrived != s.total:
			s.err = s.broke(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, s.err
}

// verify is io.EOF if what came is the content.
func (s *stream) verify() error {
	if err := s.verifier.check(); err != nil {
		return fmt.Errorf("pass content: %w", err)
	}
	return io.EOF
}

// open opens the source where the content goes on.
func (s *stream) open() error {
	part, err := s.source.Open(s.ctx, s.arrived, -1)
	if err != nil {
		return err
	}
	s.body = part.Body
	switch {
	case part.Offset < 0 || part.Offset > s.arrived:
		return fmt.Errorf("pass content %s: source began at %d, asked for %d", s.verifier.digest, part.Offset, s.arrived)
	case part.Total >= 0 && (s.total >= 0 && part.Total != s.total || part.Total < s.arrived):
		return fmt.Errorf("pass content %s: total of %d bytes, was %d, and %d came: %w",
			s.verifier.digest, part.Total, s.total, s.arrived, ErrLength)
	}
	s.total = max(s.total, part.Total)
	if _, err := io.CopyN(io.Discard, part.Body, s.arrived-part.Offset); err != nil {
		return s.broke(err)
	}
	return nil
}

// reopen is open after a break, for as long as it is worth it.
func (s *stream) reopen() error {
	for {
		err := s.open()
		if !errors.Is(err, ErrUnavailable) {
			return err
		}
		backoff, ok := s.budget.outlast(s.arrived)
		if !ok {
			return err
		}
		if err := wait(s.ctx, backoff); err != nil {
			return err
		}
	}
}

// broke closes the body after a break, and waits until the source may be opened again.
func (s *stream) broke(err error) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	err = errors.Join(unexpected(err), s.body.Close())
	s.body = nil
	backoff, ok := s.budget.spend(s.arrived)
	if !ok {
		return fmt.Errorf("pass content %s: source broke off too often, last after %d bytes: %w", s.verifier.digest, s.arrived, err)
	}
	return wait(s.ctx, backoff)
}

// ended tells whether all came and was verified.
func (s *stream) ended() bool { return errors.Is(s.err, io.EOF) && !s.holds }

// limit is where what can be read ends: the total, or without end while that is unknown.
func (s *stream) limit() int64 {
	if s.total < 0 {
		return math.MaxInt64
	}
	return s.total
}

// Seek implements io.Seeker for a way ahead: what lies before is fetched, hashed, dropped.
func (s *stream) Seek(offset int64, _ int) (int64, error) {
	pos := s.arrived
	if s.holds {
		pos--
	}
	if offset < pos {
		return pos, errBackwards
	}
	n, err := io.CopyN(io.Discard, s, offset-pos)
	if err != nil {
		return pos + n, unexpected(err)
	}
	return offset, nil
}

// ReadAt implements io.ReaderAt, which a stream is not.
func (s *stream) ReadAt([]byte, int64) (int, error) { return 0, errBackwards }

// Close implements io.Closer.
func (s *stream) Close() error {
	s.unbind()
	var err error
	if s.body != nil {
		err = s.body.Close()
	}
	s.end(nil)
	closeSource(s.source)
	return err
}

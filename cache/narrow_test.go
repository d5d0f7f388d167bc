package cache_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/berth-cache/berth/cache"
)

// asked is one call of a source's Open.
type asked struct{ Offset, Length int64 }

// narrow is a source of which each connection, or with shared all of them together, carries
// beatBytes a beat, after latency. It keeps count of what it sent.
type narrow struct {
	content []byte
	lanes   *cache.Lanes
	shared  bool
	latency time.Duration
	// spoil, if set, changes the n-th answer, counted from 0, or fails it.
	spoil func(n int, part *cache.Part) error

	// watch, if set, counts the connections of several.
	watch *narrow

	// mu guards what is below.
	mu         sync.Mutex
	opens      []asked
	open, most int
	sent       int64
	// due is when the next beat of a shared source is.
	due time.Time
}

func (s *narrow) Open(ctx context.Context, offset, length int64) (cache.Part, error) {
	s.mu.Lock()
	n := len(s.opens)
	s.opens = append(s.opens, asked{offset, length})
	s.mu.Unlock()
	s.count(1)
	end := int64(len(s.content))
	if length >= 0 {
		end = offset + length
	}
	body := &slowBody{source: s, ctx: ctx, rest: s.content[offset:end]}
	part := cache.Part{Body: body, Offset: offset, Total: int64(len(s.content)), Lanes: s.lanes}
	err := pause(ctx, s.latency)
	if err == nil && s.spoil != nil {
		err = s.spoil(n, &part)
	}
	if err != nil {
		return cache.Part{}, errors.Join(err, body.Close())
	}
	return part, nil
}

// count changes how many connections there are by n.
func (s *narrow) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += n
	s.most = max(s.most, s.open)
	if s.watch != nil {
		s.watch.count(n)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// turn waits for the connection's turn to send one beat's bytes.
func (s *narrow) turn(ctx context.Context) error {
	wait := beat
	if s.shared {
		s.mu.Lock()
		now := time.Now()
		if s.due.Before(now) {
			s.due = now
		}
		s.due = s.due.Add(beat)
		wait = s.due.Sub(now)
		s.mu.Unlock()
	}
	return pause(ctx, wait)
}

type slowBody struct {
	source *narrow
	ctx    context.Context
	rest   []byte
	closed bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	if err := b.source.turn(b.ctx); err != nil {
		return 0, err
	}
	n := copy(p, b.rest[:min(len(b.rest), beatBytes)])
	b.rest = b.rest[n:]
	b.source.mu.Lock()
	defer b.source.mu.Unlock()
	b.source.sent += int64(n)
	return n, nil
}

func (b *slowBody) Close() error {
	if !b.closed {
		b.closed = true
		b.source.count(-1)
	}
	return nil
}

// told is what has been asked for until now.
func (s *narrow) told() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.opens)
}

// connections tells how many there are, and how many there were at most.
func (s *narrow) connections() (open, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.most
}

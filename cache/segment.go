package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// maxOvertaken is how often connecting may take longer than what it was given: each
	// time it is given twice as much.
	maxOvertaken = 2
	// mistrust is how long an upstream gets no lanes after content that came over some was
	// not what its digest said.
	mistrust = time.Hour
)

var (
	// errSlow ends the request for a segment of which nothing more comes.
	errSlow = errors.New("segment too slow")
	// errOvertaken ends one that the first connection has reached, with nothing there yet.
	errOvertaken = errors.New("segment overtaken")
)

// refusedError says that a segment was not answered with what was asked for.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// segment fetches one claim. An error that is not ctx's ends the crew.
func (c *crew) segment(ctx context.Context, s *claim) error {
	err := c.fetch(ctx, s)
	result := resultOf(ctx, err)
	c.fill.contents.metrics.segment(result)
	if result == segmentDone || result == segmentStopped || errors.Is(err, errOvertaken) && c.again() {
		return err
	}
	c.stop()
	c.fill.contents.log.Info("segment not fetched, the rest comes over one connection",
		"digest", c.fill.digest, "offset", s.from, "error", err)
	return err
}

// again counts a segment that was overtaken, and tells whether there may be another.
func (c *crew) again() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overtaken++
	return c.overtaken <= maxOvertaken
}

// resultOf classes how fetching a segment ended.
func resultOf(ctx context.Context, err error) string {
	if err == nil {
		return segmentDone
	}
	if ctx.Err() != nil {
		return segmentStopped
	}
	if errors.Is(err, errSlow) || errors.Is(err, errOvertaken) {
		return segmentSlow
	}
	if _, ok := errors.AsType[*refusedError](err); ok {
		return segmentRefused
	}
	return segmentBroken
}

// fetch asks for s and keeps it. What is not the stretch asked for is a refusedError, and
// a request that was revoked has the reason for that.
func (c *crew) fetch(ctx context.Context, s *claim) error {
	ctx, revoke := context.WithCancelCause(ctx)
	defer revoke(nil)
	c.fill.plan.bind(s, revoke)
	err := c.ask(ctx, s)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (c *crew) ask(ctx context.Context, s *claim) error {
	part, err := c.src.Open(ctx, s.from, s.to-s.from)
	if err != nil {
		return &refusedError{err}
	}
	defer part.Body.Close()
	if part.Offset != s.from || part.Total != c.fill.total {
		return &refusedError{fmt.Errorf("began at %d of %d, asked for %d of %d", part.Offset, part.Total, s.from, c.fill.total)}
	}
	if err := c.fill.copy(ctx, part.Body, s); err != nil {
		return err
	}
	// Whoever sends more than was asked for would send all the rest, each time.
	if n, _ := part.Body.Read(make([]byte, 1)); n > 0 { //nolint:errcheck // an end is the right answer
		return &refusedError{errors.New("more came than was asked for")}
	}
	return nil
}

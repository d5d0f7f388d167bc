package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// hurryTime is how long the body of an answer that is not the content may take in all.
const hurryTime = 5 * time.Second

// watchedBody is an answer's body that breaks with ErrStalled when a Read waits too long.
// Only waiting counts: a reader that takes its time between Reads does no harm.
type watchedBody struct {
	body    io.ReadCloser
	timeout time.Duration
	timer   *time.Timer
	whole   *time.Timer             // set by hurry
	cancel  context.CancelCauseFunc // ends the request, and a Read with it
	stalled atomic.Bool
}

func newWatchedBody(body io.ReadCloser, timeout time.Duration, cancel context.CancelCauseFunc) *watchedBody {
	p := &watchedBody{body: body, timeout: timeout, cancel: cancel}
	p.timer = time.AfterFunc(timeout, p.stall)
	p.timer.Stop()
	return p
}

func (p *watchedBody) stall() {
	p.stalled.Store(true)
	p.cancel(ErrStalled)
}

func (p *watchedBody) Read(b []byte) (int, error) {
	p.timer.Reset(p.timeout)
	n, err := p.body.Read(b)
	p.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && p.stalled.Load() {
		err = ErrStalled
	}
	return n, err
}

// Close also ends the request.
func (p *watchedBody) Close() error {
	p.timer.Stop()
	if p.whole != nil {
		p.whole.Stop()
	}
	err := p.body.Close()
	p.cancel(nil)
	return err
}

// hurry gives body a time for all of what is left of it.
func hurry(body io.ReadCloser) {
	if p, ok := body.(*watchedBody); ok {
		p.whole = time.AfterFunc(hurryTime, p.stall)
	}
}

// content is the body of a good answer: bounded, counted, and with errors that say where
// they come from.
type content struct {
	body  io.ReadCloser
	left  int64 // bytes still allowed; negative is without bound
	count func(int)
	where string
}

func (c *content) Read(b []byte) (int, error) {
	if c.left >= 0 && int64(len(b)) > c.left+1 {
		b = b[:c.left+1]
	}
	n, err := c.body.Read(b)
	c.count(n)
	if c.left >= 0 {
		if int64(n) > c.left {
			n = int(c.left)
			c.left = 0
			return n, fmt.Errorf("%s: %w", c.where, ErrTooLarge)
		}
		c.left -= int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: read: %w", c.where, err)
	}
	return n, err
}

func (c *content) Close() error { return c.body.Close() }

// maxDrain is how much of a body is read for the sake of keeping its connection.
const maxDrain = 64 << 10

// discard ends a response whose body nobody wants. A short body is read to its end, which
// keeps the connection.
func discard(resp *http.Response) {
	defer resp.Body.Close()
	if resp.ContentLength <= maxDrain {
		hurry(resp.Body)
		if _, err := io.CopyN(io.Discard, resp.Body, maxDrain); err != nil {
			return // an end is an error, too; how it ended does not matter
		}
	}
}

package cache

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// Fill returns a reader of content d: of what is held, of the fill that is running, or of
// a fill that it starts, or resumes, from src. It returns once the size is known or the
// first bytes came. Reads, and the wait here, end with ctx; the fill does not.
//
// src becomes Fill's: if it is an io.Closer it is closed when it is not needed, or not
// any more. Its own error reaches the caller unchanged; others are ErrMismatch,
// ErrLength, ErrStore, ErrClosed, or say that the source broke off too often.
func (c *Contents) Fill(ctx context.Context, d digest.Digest, src Source) (*Reader, error) {
	r, err := c.Open(ctx, d)
	if err == nil || ctx.Err() != nil {
		closeSource(src)
		return r, err
	}
	if !c.Filling(d) {
		if err := c.trouble.refuses(d); err != nil {
			closeSource(src)
			return nil, err
		}
	}
	f, err := c.join(d, src) //nolint:contextcheck // the fill outlives the request
	if err != nil {
		closeSource(src)
		return nil, err
	}
	if err := f.progress.awaitAnswer(ctx); err != nil {
		c.leave(f)
		return nil, err
	}
	return c.follow(ctx, f)
}

// join adds a follower to the fill of d, which it starts or resumes if need be. src is
// closed unless it was used.
func (c *Contents) join(d digest.Digest, src Source) (*fill, error) {
	v, err := newVerifier(d)
	if err != nil {
		return nil, fmt.Errorf("fill: %w", err)
	}
	c.mu.Lock()
	f := c.fills[d]
	switch {
	case c.closed:
		c.mu.Unlock()
		return nil, fmt.Errorf("fill %s: %w", d, ErrClosed)
	case f == nil:
		c.start(d, v, src)
		f, src = c.fills[d], nil
	case f.paused:
		// A source that was to resume it, but was paused before it could, is replaced.
		f.source, src = src, f.source
		f.paused = false
		select {
		case f.resumed <- struct{}{}:
		default:
		}
	default:
		f.spares.offer(src)
		c.metrics.join()
	}
	f.followers++
	if f.orphan {
		f.orphan = false
		c.orphans++
	}
	c.mu.Unlock()
	closeSource(src)
	return f, nil
}

// joinComplete adds a follower to the fill of d if everything has come and matched.
func (c *Contents) joinComplete(d digest.Digest) *fill {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fills[d]
	if f == nil || !f.progress.complete() {
		return nil
	}
	f.followers++
	return f
}

// follow opens a reader for a follower of f, which joined; after an error it has left.
func (c *Contents) follow(ctx context.Context, f *fill) (*Reader, error) {
	content, err := f.open(ctx)
	if err != nil {
		c.leave(f)
		return nil, err
	}
	return &Reader{ctx: ctx, contents: c, digest: f.digest, content: content, fill: f}, nil
}

// open opens what has come for a follower, which has joined.
func (f *fill) open(ctx context.Context) (store.Content, error) {
	if f.staged != nil {
		if content, err := f.staged.Open(); err == nil {
			return content, nil
		}
	}
	// A store need not open what was staged after its commit, for that it can do this.
	content, _, err := f.contents.store.Open(ctx, f.digest)
	if err == nil {
		return content, nil
	}
	if ctx.Err() == nil && f.progress.complete() && f.own != nil {
		return sharedContent{io.NewSectionReader(f.own, 0, f.progress.total())}, nil
	}
	return nil, storeError(ctx, "open", err)
}

// sharedContent reads a fill's own file, which the fill closes.
type sharedContent struct{ *io.SectionReader }

func (sharedContent) Close() error { return nil }

// leave takes a follower away. A fill without one runs on as an orphan if another may,
// and pauses if not; one that has only its commit to do is left to do it.
func (c *Contents) leave(f *fill) {
	c.mu.Lock()
	f.followers--
	switch {
	case f.followers > 0 || f.ended || f.progress.complete():
	case c.orphans > 0:
		f.orphan = true
		c.orphans--
	default:
		f.paused = true
		f.progress.forget()
		if f.interrupt != nil {
			f.interrupt(errPaused)
		}
	}
	last := f.ended && f.followers == 0
	c.mu.Unlock()
	if last {
		f.discard()
	}
}

package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// fill is one download into the store. One goroutine runs it, from start to end, pauses
// included, with others that hash and fetch beside it; it belongs to Contents, which waits
// for it. Clients follow its progress.
type fill struct {
	contents *Contents
	digest   digest.Digest
	progress *progress
	plan     *plan
	// abort ends the fill for good. It is set before the fill is seen by others.
	abort context.CancelCauseFunc
	// resumed has room for one signal that paused was unset.
	resumed chan struct{}
	// gone is closed at the end, when what a paused fill had is discarded.
	gone chan struct{}

	// staged is set once, before the progress is announced; nil when the content turned
	// out to be in the store. own is set with it: what comes, open until the last follower
	// left, for the hash and for those who come after it was committed and deleted again.
	staged store.Staged
	own    store.Content

	// The goroutine's own: the total once it is known, which those beside it may read, else
	// -1; and the lanes that were used, if any were.
	total int64
	lanes *Lanes
	// copier is the source that was used last, if it can be copied.
	copier Copier

	// The hashing goroutine's, and after it the fill's: what was hashed, and up to where.
	verifier *verifier
	hashed   int64

	// rest is set before the progress fails, if its followers can go on without it.
	rest *rest

	// Contents.mu guards what is below.

	// source is what the next attempt reads from; nil once taken.
	source Source
	spares spares
	// interrupt ends the attempt that is running.
	interrupt context.CancelCauseFunc
	followers int
	// orphan: runs without a client. paused: should not run. ended: has left the map.
	orphan, paused, ended bool
}

// start begins the fill of d. mu is held.
func (c *Contents) start(d digest.Digest, v *verifier, src Source) {
	// Its own context: the fill outlives the request that began it.
	ctx, abort := context.WithCancelCause(context.Background())
	f := &fill{
		contents: c,
		digest:   d,
		progress: newProgress(),
		plan:     newPlan(),
		abort:    abort,
		resumed:  make(chan struct{}, 1),
		gone:     make(chan struct{}),
		total:    -1,
		verifier: v,
		source:   src,
	}
	f.spares.began(src)
	c.fills[d] = f
	c.running.Go(func() {
		defer close(f.gone)
		defer abort(nil)
		f.run(ctx)
	})
}

// run is the fill's goroutine.
func (f *fill) run(ctx context.Context) {
	c := f.contents
	c.metrics.run(1)
	err := f.fetch(ctx)
	c.metrics.run(-1)

	c.mu.Lock()
	// An abandoned fill has left the map already, and another may be in its place.
	if c.fills[f.digest] == f {
		delete(c.fills, f.digest)
	}
	f.ended = true
	if f.orphan {
		f.orphan = false
		c.orphans++
	}
	followers, unused := f.followers, append(f.spares.end(), f.source)
	f.source = nil
	c.mu.Unlock()

	for _, src := range unused {
		closeSource(src)
	}
	if err != nil {
		c.trouble.failed(f.digest, err)
		f.rest = f.remains(ctx, err)
		f.progress.fail(err)
	}
	if followers > 0 {
		return // the last of them discards
	}
	if err != nil && !errors.Is(err, errAbandoned) {
		c.log.Warn("fill failed after its last client left", "digest", f.digest, "bytes", f.progress.bytes(), "error", err)
	}
	f.discard()
}

// fetch brings the content in, verifies it, shows it and commits it. The error is what
// the followers get.
func (f *fill) fetch(ctx context.Context) error {
	// Another fill may have committed between this one's caller's look and its start.
	if content, size, err := f.contents.store.Open(ctx, f.digest); err == nil {
		f.own = content
		f.progress.verify(size)
		return nil
	}
	f.contents.metrics.start()
	if err := f.bring(ctx); err != nil {
		return err
	}
	if err := f.verifier.check(); err != nil {
		if f.lanes != nil {
			// One of many answers was wrong, and nobody knows which: the next time there is
			// to be but one.
			f.lanes.Pause(mistrust)
		}
		return fmt.Errorf("fill: %w", err)
	}
	f.progress.verify(f.total)
	if err := f.staged.Commit(ctx, f.digest); err != nil {
		// The followers have their bytes; the next one to ask starts again.
		f.contents.trouble.failed(f.digest, fmt.Errorf("%w: %w", ErrStore, err))
		f.contents.metrics.pass(err)
	}
	return nil
}

// bring downloads the content, and hashes it meanwhile.
func (f *fill) bring(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	hashed := make(chan error, 1)
	go func() {
		err := f.hash(ctx)
		if err != nil {
			stop(err) // nothing more has to come
		}
		hashed <- err
	}()
	err := f.receive(ctx)
	if err == nil {
		f.progress.ended(f.total)
	} else {
		stop(err)
	}
	if hashErr := <-hashed; err == nil {
		err = hashErr
	}
	return err
}

// receive downloads until everything has come, pausing when it should. Where several sources
// fail the error is that of the first.
func (f *fill) receive(ctx context.Context) error {
	var failed error
	for {
		attempt, cancel := context.WithCancelCause(ctx)
		src := f.begin(cancel)
		if copier, ok := src.(Copier); ok {
			f.copier = copier
		}
		err := f.download(attempt, src)
		paused := errors.Is(context.Cause(attempt), errPaused)
		cancel(nil)
		closeSource(src)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("fill %s: %w", f.digest, context.Cause(ctx))
		case !paused:
			if !f.change(err) {
				return cmp.Or(failed, err)
			}
			failed = cmp.Or(failed, err)
			continue
		}
		if err := f.pause(ctx); err != nil {
			return err
		}
	}
}

// replaceable tells whether there is another source to go on from.
func (f *fill) replaceable() bool {
	f.contents.mu.Lock()
	defer f.contents.mu.Unlock()
	return f.source != nil || len(f.spares.waiting) > 0
}

// change puts another source in the place of the one that failed because of err, if a
// follower has brought one.
func (f *fill) change(err error) bool {
	if errors.Is(err, ErrStore) {
		return false
	}
	f.contents.mu.Lock()
	defer f.contents.mu.Unlock()
	if f.source == nil {
		f.source = f.spares.take()
	}
	if f.source != nil {
		f.contents.log.Info("source failed, the fill goes on from another", "digest", f.digest, "error", err)
	}
	return f.source != nil
}

// begin takes the source of an attempt that cancel interrupts.
func (f *fill) begin(cancel context.CancelCauseFunc) Source {
	f.contents.mu.Lock()
	defer f.contents.mu.Unlock()
	src := f.source
	f.source, f.interrupt = nil, cancel
	if f.paused {
		cancel(errPaused)
	}
	return src
}

// discard drops what was not committed. It is called once, by who is last to leave.
func (f *fill) discard() {
	if f.own != nil {
		if err := f.own.Close(); err != nil {
			f.contents.log.Warn("content was not closed", "digest", f.digest, "error", err)
		}
	}
	if f.staged == nil {
		return
	}
	if err := f.staged.Discard(); err != nil {
		f.contents.log.Warn("staged content was not removed", "digest", f.digest, "error", err)
	}
}

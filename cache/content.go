package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

var (
	// ErrNotHeld says that the content is not here, or not here in full.
	ErrNotHeld = errors.New("content not held")
	// ErrStore says that the content store failed, such as a full disk. Who asked may
	// still get the bytes where the fill would have.
	ErrStore = errors.New("content store in trouble")
	// ErrTooLarge says that content is larger than the caller takes.
	ErrTooLarge = errors.New("content larger than allowed")
	// ErrClosed says that Contents has been closed.
	ErrClosed = errors.New("contents closed")
)

const (
	defaultOrphans = 8
	defaultKeep    = 10 * time.Minute
)

// ContentOptions configures Contents; the zero value has the defaults.
type ContentOptions struct {
	// Logger hears of what no caller does: commits that failed, fills that failed
	// after their last client left. Nil discards.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// Orphans is how many fills run on at a time after their last client left: 8 if
	// zero, none if negative. Others pause.
	Orphans int
	// MemoryBytes is how many bytes of small content are held in memory as well: 48 MiB if
	// zero, none if negative.
	MemoryBytes int64
	// Keep is how long a paused fill keeps its bytes for a resume: 10 minutes if zero.
	Keep time.Duration
}

// Contents is verified content by digest: what the store holds, and what is on its way
// in. All methods are safe for concurrent use.
type Contents struct {
	store   store.Store
	small   small
	log     *slog.Logger
	metrics *Metrics
	trouble *trouble
	keep    time.Duration

	// running counts the goroutines of fills; closing ends the pauses among them.
	running sync.WaitGroup
	closing chan struct{}

	// mu guards what is below, and the fields of every fill that say so. It may be held
	// while a progress's is taken, never the other way round.
	mu     sync.Mutex
	closed bool
	fills  map[digest.Digest]*fill
	// orphans is how many more fills may run without a client.
	orphans int
}

// NewContents returns the contents of s, which stays the caller's to close, afterwards.
func NewContents(s store.Store, opts ContentOptions) *Contents {
	c := &Contents{
		store:   s,
		log:     opts.Logger,
		metrics: opts.Metrics,
		keep:    opts.Keep,
		closing: make(chan struct{}),
		fills:   make(map[digest.Digest]*fill),
		orphans: opts.Orphans,
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.trouble = newTrouble(c.log, c.metrics)
	if opts.MemoryBytes == 0 {
		opts.MemoryBytes = defaultMemory
	}
	c.small = newSmall(opts.MemoryBytes, s.Use)
	if c.keep <= 0 {
		c.keep = defaultKeep
	}
	if c.orphans == 0 {
		c.orphans = defaultOrphans
	}
	return c
}

// Close lets no new fill begin, drops paused ones and waits for the others until ctx
// ends; then it cuts them off, waits again, and returns an error that says so. Readers
// that are open keep reading what has come.
func (c *Contents) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
	c.mu.Unlock()
	defer c.small.close()
	defer c.trouble.close()
	done := make(chan struct{})
	go func() {
		c.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	for _, f := range c.fills {
		f.abort(ErrClosed)
	}
	c.mu.Unlock()
	<-done
	return fmt.Errorf("close contents: fills were cut off: %w", context.Cause(ctx))
}

// Stat tells the size in bytes of content that is complete, or returns ErrNotHeld.
func (c *Contents) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	if b, ok := c.small.get(ctx, d); ok {
		return int64(len(b)), nil
	}
	if f := c.find(d); f != nil && f.progress.complete() {
		return f.progress.total(), nil
	}
	size, err := c.store.Stat(ctx, d)
	if err != nil {
		return 0, storeError(ctx, "stat", err)
	}
	return size, nil
}

// Open opens content that is complete, or returns ErrNotHeld. Reads end with ctx. The
// caller closes the Reader.
func (c *Contents) Open(ctx context.Context, d digest.Digest) (*Reader, error) {
	if b, ok := c.small.get(ctx, d); ok {
		return inMemory(ctx, b), nil
	}
	// Content whose commit is still being synced is complete. The fills are looked at
	// first: what has left them is in the store.
	if f := c.joinComplete(d); f != nil {
		return c.follow(ctx, f)
	}
	content, size, err := c.store.Open(ctx, d)
	if err != nil {
		if errors.Is(err, store.ErrDropped) {
			c.metrics.damage(foundByOpen)
		}
		return nil, storeError(ctx, "open", err)
	}
	r := &Reader{ctx: ctx, contents: c, digest: d, content: content, size: size}
	if !c.small.takes(size) {
		return r, nil
	}
	defer r.Close()
	b, err := r.verified()
	if err != nil {
		return nil, fmt.Errorf("open content %s: %w", d, err)
	}
	c.hold(ctx, d, b)
	return inMemory(ctx, b), nil
}

// ReadAll returns content that is complete, of at most limit bytes; else ErrNotHeld or
// ErrTooLarge. The bytes are shared: nobody may change them.
func (c *Contents) ReadAll(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	if b, ok := c.small.get(ctx, d); ok && int64(len(b)) <= limit {
		return b, nil
	}
	r, err := c.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	if r.Size() > limit {
		return nil, errors.Join(fmt.Errorf("read content %s of %d bytes, limit %d: %w", d, r.Size(), limit, ErrTooLarge), r.Close())
	}
	b, err := r.all()
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read content %s: %w", d, err)
	}
	return b, nil
}

// lose drops what r reads from the store: because of err it is not what its digest says.
func (c *Contents) lose(r *Reader, err error) {
	dropped, dropErr := c.store.Drop(r.ctx, r.digest, r.content)
	switch {
	case dropErr != nil:
		c.log.Error("damaged content was found when it was read, and could not be dropped", "digest", r.digest, "error", errors.Join(err, dropErr))
	case dropped:
		c.metrics.damage(foundByRead)
		c.log.Error("damaged content was found when it was read and dropped, it is fetched again when it is asked for", "digest", r.digest, "error", err)
	}
}

// Delete removes content that is complete; absent content is no error. Readers that are
// open keep reading; a fill that is running is left alone.
func (c *Contents) Delete(ctx context.Context, d digest.Digest) error {
	err := c.store.Delete(ctx, d)
	c.small.drop(d)
	if err != nil {
		return storeError(ctx, "delete", err)
	}
	return nil
}

// Filling tells whether a fill of d is running or paused.
func (c *Contents) Filling(d digest.Digest) bool { return c.find(d) != nil }

// Begins tells whether Fill would begin a fill of d: none is there, and the store is not known
// to refuse it.
func (c *Contents) Begins(d digest.Digest) bool { return !c.Filling(d) && c.trouble.refuses(d) == nil }

func (c *Contents) find(d digest.Digest) *fill {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fills[d]
}

// storeError puts a store's error into this package's terms.
func storeError(ctx context.Context, op string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		// The store's error names the digest.
		return fmt.Errorf("%w: %w", ErrNotHeld, err)
	case errors.Is(err, store.ErrDigest) || ctx.Err() != nil:
		return err
	}
	return fmt.Errorf("%s content: %w: %w", op, ErrStore, err)
}

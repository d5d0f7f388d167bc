package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

var _ Store = (*Bolt)(nil)

// BoltOptions are the settings of a Bolt. The zero value is usable.
type BoltOptions struct {
	// Logger takes what no call returns; nil logs nothing.
	Logger *slog.Logger
}

// Bolt is the engine for one process: a bbolt file. Writes that come at the same time
// share one transaction and one fsync; see write. A write whose context ended before its
// answer came may still be applied.
type Bolt struct {
	db  *bbolt.DB
	log *slog.Logger

	writes  chan *write
	closing chan struct{} // closed when Close begins: nothing more is taken
	stopped chan struct{} // closed when the writer has gone: nothing more is answered
	running sync.WaitGroup
	close   func() error

	// damage is why nothing more is written. bbolt panicked in a write transaction and
	// may have left it open, so that the next one, and closing the file, would wait for
	// it for ever. It belongs to the writer, and after it to Close.
	damage error
}

// OpenBolt opens the file at path, and creates it in its existing folder if it is absent.
// It fails within about a second when another process has the file open, and with
// ErrDamaged for a file that is damaged; the error names the file.
func OpenBolt(path string, opts BoltOptions) (*Bolt, error) {
	db, err := openFile(path)
	if errors.Is(err, ErrDamaged) {
		return nil, fmt.Errorf("open state file %s: %w; berth check --repair moves it aside and begins a new one", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open state file %s: %w", path, err)
	}
	b := &Bolt{
		db:      db,
		log:     opts.Logger,
		writes:  make(chan *write, maxQueue),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.close = sync.OnceValue(b.shut)
	b.running.Go(b.writeLoop)
	b.running.Go(b.sweepLoop)
	return b, nil
}

// Get implements [Store].
func (b *Bolt) Get(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	var value []byte
	err := b.view(ctx, func(t tables) {
		if r := t.get([]byte(key)); r.live(time.Now()) {
			value = r.copied()
		}
	})
	if err == nil && value == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get %q: %w", key, err)
	}
	return value, nil
}

// Put implements [Store].
func (b *Bolt) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkWrite(key, value, ttl); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	r := newRecord(value, expiryAfter(time.Now(), ttl))
	err := b.submit(ctx, len(r), func(t tables) (bool, error) {
		return true, t.put([]byte(key), r)
	})
	if err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	return nil
}

// CompareAndSwap implements [Store].
func (b *Bolt) CompareAndSwap(ctx context.Context, key string, swap Swap) error {
	if err := checkSwap(key, swap); err != nil {
		return fmt.Errorf("swap: %w", err)
	}
	old := bytes.Clone(swap.Old) // compared later, when the caller may have reused it
	var r record
	if swap.New != nil {
		r = newRecord(swap.New, expiryAfter(time.Now(), swap.TTL))
	}
	err := b.submit(ctx, len(r), func(t tables) (bool, error) {
		held := t.get([]byte(key))
		switch {
		case !held.matches(old, time.Now()):
			return false, ErrConflict
		case r != nil:
			return true, t.put([]byte(key), r)
		}
		return held != nil, t.remove([]byte(key))
	})
	if err != nil {
		return fmt.Errorf("swap %q: %w", key, err)
	}
	return nil
}

// Delete implements [Store].
func (b *Bolt) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	err := b.submit(ctx, 0, func(t tables) (bool, error) {
		return t.get([]byte(key)) != nil, t.remove([]byte(key))
	})
	if err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// Scan implements [Store].
func (b *Bolt) Scan(ctx context.Context, r Range) ([]Entry, error) {
	if err := checkRange(r); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	var entries []Entry
	err := b.view(ctx, func(t tables) { entries = t.scan(ctx, r) })
	if err == nil {
		err = ctx.Err() // a scan that was cut short
	}
	if err != nil {
		return nil, fmt.Errorf("scan %q: %w", r.Prefix, err)
	}
	return entries, nil
}

// Close waits for the writes under way, refuses those that still queue with
// ErrUnavailable, and closes the file, unless it turned out to be damaged: then the
// process holds it until it ends. Calling it again returns the same.
func (b *Bolt) Close() error { return b.close() }

func (b *Bolt) shut() error {
	close(b.closing)
	b.running.Wait()
	if b.damage != nil {
		return fmt.Errorf("close state file: %w", b.damage)
	}
	if err := b.db.Close(); err != nil {
		return fmt.Errorf("close state file: %w", err)
	}
	return nil
}

// view runs fn in a read transaction, which sees the state after one commit.
func (b *Bolt) view(ctx context.Context, fn func(tables)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			fn(tablesOf(tx))
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

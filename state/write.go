package state

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

const (
	// maxQueue is how many writes wait without blocking their callers' goroutines in a send.
	maxQueue = 1024
	// maxBatchWrites and maxBatchBytes bound one transaction, and so how long the
	// first of it waits for its answer and how much memory it holds.
	maxBatchWrites = 1024
	maxBatchBytes  = 16 << 20
)

// errUnchanged rolls a batch back that changed nothing, which saves its fsync.
var errUnchanged = errors.New("nothing changed")

// write is one change on its way to the file. All that queue while the file is being
// synced go into the next transaction together, without any delay of their own: one
// write alone costs one fsync, and so do a hundred at once.
type write struct {
	// apply makes the change and tells whether there was one. It sees the changes
	// before it in the same batch. ErrConflict is its caller's alone; any other error
	// undoes the batch.
	apply func(tables) (changed bool, err error)
	bytes int
	err   error
	done  chan error
}

// submit hands a change of about size bytes to the writer and waits until it is durable.
func (b *Bolt) submit(ctx context.Context, size int, apply func(tables) (bool, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{apply: apply, bytes: size, done: make(chan error, 1)}
	select {
	case b.writes <- w:
	case <-b.closing:
		return fmt.Errorf("%w: closed", ErrUnavailable)
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-b.stopped:
	}
	select {
	case err := <-w.done: // answered just before the writer went
		return err
	default:
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
}

// writeLoop is the only writer of the file.
func (b *Bolt) writeLoop() {
	defer close(b.stopped)
	for {
		select {
		case <-b.closing:
			return
		case first := <-b.writes:
			b.commit(first)
		}
	}
}

// commit writes first, and all that queue behind it, in one transaction, then answers
// them. A conflict is answered after the commit too: what it conflicted with may be in
// the same batch.
func (b *Bolt) commit(first *write) {
	batch := &batch{writes: []*write{first}}
	err := b.damage
	if err == nil {
		err = guard(func() error {
			return b.db.Update(func(tx *bbolt.Tx) error {
				return batch.apply(tablesOf(tx), b.writes)
			})
		})
	}
	switch {
	case errors.Is(err, errUnchanged):
		err = nil
	case errors.Is(err, ErrDamaged) && b.damage == nil:
		b.damage = err
		b.log.Error("state file is damaged and takes no more writes", "error", err)
	}
	for _, w := range batch.writes {
		if err != nil {
			w.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		w.done <- w.err
	}
}

// batch is the writes of one transaction. Whatever becomes of it, even a panic half way,
// all of them are answered.
type batch struct {
	writes  []*write
	bytes   int
	changed bool
}

// apply applies the batch's first write, then takes and applies all that queue.
func (b *batch) apply(t tables, queue <-chan *write) error {
	for next := b.writes[0]; next != nil; next = b.take(queue) {
		changed, err := next.apply(t)
		if err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
		next.err = err
		b.bytes += next.bytes
		b.changed = b.changed || changed
	}
	if !b.changed {
		return errUnchanged
	}
	return nil
}

// take adds the next write that queues to the batch; nil when none does or it is full.
func (b *batch) take(queue <-chan *write) *write {
	if len(b.writes) >= maxBatchWrites || b.bytes >= maxBatchBytes {
		return nil
	}
	select {
	case w := <-queue:
		b.writes = append(b.writes, w)
		return w
	default:
		return nil
	}
}

package store

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// maxBatch bounds how many changes share one transaction.
const maxBatch = 1024

// change is one write to the index.
type change struct {
	// apply makes it; an error undoes the whole batch.
	apply func(t *tables) error
	done  chan error
}

// apply hands a change to the writer and waits until it is synced. Changes that arrive
// while a transaction is being synced share the next one. It takes no context: a caller
// that left would not know what became of its change, and the wait is one sync long.
func (x *index) apply(fn func(t *tables) error) error {
	c := change{apply: fn, done: make(chan error, 1)}
	select {
	case x.queue <- c:
		return <-c.done
	case <-x.stop:
		return ErrClosed
	}
}

// settle clears intents that came true, if there are any.
func (x *index) settle() error {
	if x.done.empty() {
		return nil
	}
	return x.apply(func(*tables) error { return nil })
}

// close ends the writer and closes the file. It is called once.
func (x *index) close() error {
	close(x.stop)
	x.writer.Wait()
	var err error
	if (x.unsure || !x.done.empty()) && x.damage == nil {
		err = x.write(nil)
	}
	if x.damage != nil {
		return fmt.Errorf("close index: %w", x.damage)
	}
	return errors.Join(err, x.db.Close())
}

func (x *index) run() {
	for {
		select {
		case c := <-x.queue:
			batch := x.gather(c)
			err := x.write(batch)
			for _, c := range batch {
				c.done <- err
			}
		case <-x.stop:
			return
		}
	}
}

// gather takes what is waiting in the queue, without waiting for more.
func (x *index) gather(first change) []change {
	batch := []change{first}
	for len(batch) < maxBatch {
		select {
		case c := <-x.queue:
			batch = append(batch, c)
		default:
			return batch
		}
	}
	return batch
}

// write applies batch in one transaction, the totals with it.
func (x *index) write(batch []change) error {
	if x.damage != nil {
		return x.damage
	}
	if err := x.makeSure(); err != nil {
		return err
	}
	done := x.done.take()
	var t *tables
	var id int
	err := guard(func() error {
		return x.db.Update(func(tx *bolt.Tx) error {
			id = tx.ID()
			t = tablesOf(tx, x.usage())
			if err := t.clear(done); err != nil {
				return err
			}
			for _, c := range batch {
				if err := c.apply(t); err != nil {
					return err
				}
			}
			return t.save()
		})
	})
	switch {
	case err == nil:
		x.totals.Store(&t.totals)
		x.account(t.totals, t.released)
	case errors.Is(err, ErrDamaged):
		x.damage = err
	case x.holds(id):
		// Whoever asked for it is told that it failed, and has what it reserved.
		x.unsure = true
		x.totals.Store(&t.totals)
		x.account(t.totals, 0)
	default:
		x.done.add(done)
	}
	return err
}

// holds tells whether transaction id is what readers see, though it may have failed: bbolt
// shows what it has written before it is synced.
func (x *index) holds(id int) (held bool) {
	err := x.view(func(tx *bolt.Tx) error {
		held = tx.ID() == id
		return nil
	})
	return err == nil && held
}

// makeSure writes and syncs the pages again by which a transaction is seen, if the last one
// is unsure: the kernel does not write again by itself what it could not write, and the next
// transaction would overwrite the pages of the one before, which is all that the disk has.
func (x *index) makeSure() error {
	if !x.unsure {
		return nil
	}
	pages := make([]byte, 2*x.db.Info().PageSize)
	_, err := x.file.ReadAt(pages, 0)
	if err == nil {
		_, err = x.file.WriteAt(pages, 0)
	}
	if err == nil {
		err = x.db.Sync()
	}
	x.unsure = err != nil
	return err
}

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	recordsBucket = []byte("records")
	metaBucket    = []byte("meta")
	versionKey    = []byte("version")
	totalsKey     = []byte("totals")
)

const (
	indexVersion = 1
	// maxBatch bounds how many changes share one transaction.
	maxBatch = 1024
)

// record is what the index knows of one object.
type record struct {
	size      int64
	committed time.Time
}

// change is one write to the index; a nil record removes the key.
type change struct {
	key    []byte
	record *record
	done   chan error
}

// index holds a record for every object, and the totals, kept in the same transactions,
// so that neither a start nor Usage reads the tree. Changes that arrive while a
// transaction is being synced share the next one.
type index struct {
	db     *bolt.DB
	queue  chan change
	stop   chan struct{}
	writer sync.WaitGroup
	totals atomic.Pointer[Usage]

	// damage is why nothing more is written: bbolt panicked in a write and may have left
	// its transaction open, so that the next, and closing the file, would wait for ever.
	// It belongs to the writer, and after it to close.
	damage error
}

// openIndex opens or makes the index in file.
func openIndex(file string) (*index, error) {
	x := &index{queue: make(chan change), stop: make(chan struct{})}
	if err := x.open(file); err != nil {
		if !errors.Is(err, bolterrors.ErrTimeout) {
			err = fmt.Errorf("%w; if it is damaged, berth check --repair makes it again from the content", err)
		}
		return nil, fmt.Errorf("open index %s: %w", file, err)
	}
	x.writer.Go(x.run)
	return x, nil
}

// open opens the file and looks at as much of it as costs nothing.
func (x *index) open(name string) error {
	var file *os.File
	options := &bolt.Options{
		// The folder's lock is held already: the wait is for a dying process's last handle.
		Timeout:      5 * time.Second,
		FreelistType: bolt.FreelistMapType, // the array slows down as the file fragments
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	}
	err := guard(func() error {
		var err error
		if x.db, err = bolt.Open(name, 0o600, options); err != nil {
			return err
		}
		if err := checkLength(x.db, file); err != nil {
			return err
		}
		return x.db.Update(x.prepare)
	})
	switch {
	case errors.Is(err, ErrDamaged):
		// It stays mapped until the process ends: closing would wait for ever for a
		// transaction that a panic left open.
		file.Close()
	case err != nil && x.db != nil:
		err = errors.Join(err, x.db.Close())
	}
	return err
}

// prepare makes the buckets of a new index, checks the version and reads the totals.
func (x *index) prepare(tx *bolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(recordsBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	if v := meta.Get(versionKey); v == nil {
		if err := meta.Put(versionKey, []byte{indexVersion}); err != nil {
			return err
		}
	} else if len(v) != 1 || v[0] != indexVersion {
		return fmt.Errorf("version %d, this Berth reads %d", v, indexVersion)
	}
	x.totals.Store(new(decodeTotals(meta.Get(totalsKey))))
	return nil
}

// lookup returns the record of key; absent is a nil record.
func (x *index) lookup(key []byte) (*record, error) {
	var found *record
	err := x.view(func(tx *bolt.Tx) error {
		if v := tx.Bucket(recordsBucket).Get(key); v != nil {
			found = new(decodeRecord(v))
		}
		return nil
	})
	return found, err
}

// keyed is a record with its key.
type keyed struct {
	key    []byte
	record record
}

// following returns up to limit records in the order of their keys, those behind from.
func (x *index) following(from []byte, limit int) ([]keyed, error) {
	var found []keyed
	err := x.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(recordsBucket).Cursor()
		k, v := c.Seek(from)
		if bytes.Equal(k, from) {
			k, v = c.Next()
		}
		for ; k != nil && len(found) < limit; k, v = c.Next() {
			found = append(found, keyed{bytes.Clone(k), decodeRecord(v)})
		}
		return nil
	})
	return found, err
}

// view runs fn in a read transaction.
func (x *index) view(fn func(tx *bolt.Tx) error) error {
	err := guard(func() error { return x.db.View(fn) })
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// put records r under key, replacing what was there.
func (x *index) put(key []byte, r record) error {
	return x.apply(change{key: key, record: &r})
}

// remove drops the record of key; an absent one is no error.
func (x *index) remove(key []byte) error {
	return x.apply(change{key: key})
}

// apply hands c to the writer and waits until it is synced. It takes no context: a caller
// that left would not know what became of its change, and the wait is one sync long.
func (x *index) apply(c change) error {
	c.done = make(chan error, 1)
	select {
	case x.queue <- c:
		return <-c.done
	case <-x.stop:
		return ErrClosed
	}
}

// usage returns the totals.
func (x *index) usage() Usage { return *x.totals.Load() }

// close ends the writer and closes the file. It is called once.
func (x *index) close() error {
	close(x.stop)
	x.writer.Wait()
	if x.damage != nil {
		return fmt.Errorf("close index: %w", x.damage)
	}
	return x.db.Close()
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
	totals := x.usage()
	err := guard(func() error {
		return x.db.Update(func(tx *bolt.Tx) error {
			records := tx.Bucket(recordsBucket)
			for _, c := range batch {
				if v := records.Get(c.key); v != nil {
					totals.Objects--
					totals.Bytes -= decodeRecord(v).size
				}
				if c.record == nil {
					if err := records.Delete(c.key); err != nil {
						return err
					}
					continue
				}
				totals.Objects++
				totals.Bytes += c.record.size
				if err := records.Put(c.key, encodeRecord(*c.record)); err != nil {
					return err
				}
			}
			return tx.Bucket(metaBucket).Put(totalsKey, encodeTotals(totals))
		})
	})
	switch {
	case err == nil:
		x.totals.Store(&totals)
	case errors.Is(err, ErrDamaged):
		x.damage = err
	}
	return err
}

// A record is size and commit time (Unix seconds), 8 bytes each, big endian. Later
// versions may append fields.
func encodeRecord(r record) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.size))
	return binary.BigEndian.AppendUint64(b, uint64(r.committed.Unix()))
}

func decodeRecord(b []byte) record {
	if len(b) < 16 {
		return record{}
	}
	return record{
		size:      int64(binary.BigEndian.Uint64(b)),
		committed: time.Unix(int64(binary.BigEndian.Uint64(b[8:])), 0),
	}
}

func encodeTotals(u Usage) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(u.Objects))
	return binary.BigEndian.AppendUint64(b, uint64(u.Bytes))
}

func decodeTotals(b []byte) Usage {
	if len(b) < 16 {
		return Usage{}
	}
	return Usage{
		Objects: int64(binary.BigEndian.Uint64(b)),
		Bytes:   int64(binary.BigEndian.Uint64(b[8:])),
	}
}

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const indexVersion = 2

// index holds a record for every object, the order of their uses, and the totals, kept in
// the same transactions, so that neither a start, nor eviction, nor Usage reads the tree.
type index struct {
	db     *bolt.DB
	file   *os.File // of db
	clock  clock
	queue  chan change
	stop   chan struct{}
	writer sync.WaitGroup
	totals atomic.Pointer[Usage]
	done   fulfilled
	// account is told, after each transaction, what is held, and how many bytes of that were
	// reserved before.
	account func(held Usage, reserved int64)

	// damage is why nothing more is written: bbolt panicked in a write and may have left
	// its transaction open, so that the next, and closing the file, would wait for ever.
	// It belongs to the writer, and after it to close.
	damage error
	// unsure says that the last transaction could not be synced and is in the file as others
	// see it. It belongs to the writer.
	unsure bool
}

// openIndex opens or makes the index in file, which accounts for what it holds.
func openIndex(file string, account func(held Usage, reserved int64)) (*index, error) {
	x := &index{queue: make(chan change), stop: make(chan struct{}), account: account}
	if err := x.open(file); err != nil {
		if !errors.Is(err, bolterrors.ErrTimeout) {
			err = fmt.Errorf("%w; if it is damaged, berth check --repair makes it again from the content", err)
		}
		return nil, fmt.Errorf("open index %s: %w", file, err)
	}
	account(x.usage(), 0)
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
	if err := makeIndex(name, options); err != nil {
		return err
	}
	err := guard(func() error {
		var err error
		if x.db, err = bolt.Open(name, 0o600, options); err != nil {
			return err
		}
		if err := checkLength(x.db, file); err != nil {
			return err
		}
		// A process that was killed may have left a transaction that is in the kernel's cache
		// alone: the next would overwrite the pages of the one before it.
		if err := x.db.Sync(); err != nil {
			return err
		}
		return x.prepare()
	})
	x.file = file
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

// makeIndex makes an empty index if there is none. It gets its name when it is whole: bbolt
// takes a file that a loss of power cut short for a damaged one.
func makeIndex(name string, options *bolt.Options) error {
	if info, err := os.Lstat(name); err == nil && info.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	staged := filepath.Join(filepath.Dir(name), stagingDir, indexFile)
	db, err := bolt.Open(staged, 0o600, options)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		err = os.Rename(staged, name)
	}
	return err
}

// prepare makes the buckets of a new index, or brings one to this version, and reads what
// is known without it from then on.
func (x *index) prepare() error {
	version, err := x.version()
	switch {
	case err != nil:
	case version == nil:
		err = x.db.Update(func(tx *bolt.Tx) error {
			if err := makeBuckets(tx); err != nil {
				return err
			}
			return tx.Bucket(metaBucket).Put(versionKey, []byte{indexVersion})
		})
	case bytes.Equal(version, []byte{1}):
		err = migrate(x.db)
	case !bytes.Equal(version, []byte{indexVersion}):
		err = fmt.Errorf("version %d, this Berth reads %d", version, indexVersion)
	}
	if err != nil {
		return err
	}
	return x.db.View(func(tx *bolt.Tx) error {
		x.totals.Store(new(decodeTotals(tx.Bucket(metaBucket).Get(totalsKey))))
		last, _ := tx.Bucket(recencyBucket).Cursor().Last()
		used, _ := decodeRecency(last)
		x.clock = newClock(used)
		return nil
	})
}

// version returns that of the file; nil when it is new.
func (x *index) version() (version []byte, err error) {
	err = x.db.View(func(tx *bolt.Tx) error {
		if meta := tx.Bucket(metaBucket); meta != nil {
			version = bytes.Clone(meta.Get(versionKey))
		}
		return nil
	})
	return version, err
}

func makeBuckets(tx *bolt.Tx) error {
	for _, name := range [][]byte{recordsBucket, recencyBucket, arrivedBucket, doomedBucket, metaBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// usage returns the totals.
func (x *index) usage() Usage { return *x.totals.Load() }

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

// oldest returns up to limit records, those used longest ago first, or ErrDamaged.
func (x *index) oldest(limit int) ([]keyed, error) {
	var found []keyed
	err := x.view(func(tx *bolt.Tx) error {
		records, c := tx.Bucket(recordsBucket), tx.Bucket(recencyBucket).Cursor()
		for k, _ := c.First(); k != nil && len(found) < limit; k, _ = c.Next() {
			used, key := decodeRecency(k)
			if digestOf(key) == "" {
				return fmt.Errorf("%w: %x is no use of anything; berth check --repair makes it again from the content", ErrDamaged, k)
			}
			r := decodeRecord(records.Get(key))
			r.used = used
			found = append(found, keyed{bytes.Clone(key), r})
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

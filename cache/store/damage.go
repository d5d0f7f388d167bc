package store

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// ErrDamaged says that the index makes no sense. The content is whole: the index can be
// made again from it.
var ErrDamaged = errors.New("index damaged")

// guard runs fn and returns bbolt's panics as ErrDamaged: it panics on pages that make no
// sense, and a page that cannot be read is a fault. A damaged index may cost an answer,
// never the process.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return fn()
}

// checkLength finds a file that lost its end: bbolt maps it all the same, and would fault
// at the first page that is missing.
func checkLength(db *bolt.DB, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: cut short, %d bytes of %d are left", ErrDamaged, info.Size(), tx.Size())
		}
		return nil
	})
}

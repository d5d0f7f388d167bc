package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long an opener waits for the file's lock: long enough for a
// predecessor that is just closing, short enough for a clear answer at start.
const lockWait = time.Second

// ErrDamaged says that a state file makes no sense. What it held is found out again
// without it: the upstreams are asked.
var ErrDamaged = errors.New("file damaged")

var errHeld = errors.New("another berth process holds it")

// openFile opens the database at path, creates it if it is absent, and looks at as much
// of it as costs nothing. Its errors do not name the file.
func openFile(path string) (*bbolt.DB, error) {
	var (
		db   *bbolt.DB
		file *os.File
	)
	options := &bbolt.Options{
		Timeout:      lockWait,
		FreelistType: bbolt.FreelistMapType, // the array slows down as the file fragments
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	}
	err := guard(func() error {
		var err error
		if db, err = bbolt.Open(path, 0o600, options); err != nil {
			return err
		}
		if err := checkLength(db, file); err != nil {
			return err
		}
		// A process that was killed may have left a transaction that is in the kernel's cache
		// alone: the next would overwrite the pages of the one before it.
		if err := db.Sync(); err != nil {
			return err
		}
		return db.Update(createTables)
	})
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		return db, nil
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, errHeld
	case errors.Is(err, ErrDamaged):
		// The file stays mapped, and so locked, until the process ends: db.Close would
		// wait for ever if the panic left a transaction open.
		file.Close()
		return nil, err
	}
	// What is not the file system's error is what bbolt says of the file.
	if _, failed := errors.AsType[syscall.Errno](err); !failed {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if db != nil {
		err = errors.Join(err, db.Close())
	}
	return nil, err
}

// checkLength finds a file that lost its end: bbolt maps it all the same, and the
// process would die of a bus error at the first page that is missing.
func checkLength(db *bbolt.DB, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("file cut short: %d bytes of %d are left", info.Size(), tx.Size())
		}
		return nil
	})
}

// syncDir makes the name of a new file survive a crash of the machine; bbolt syncs
// only the file.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil // a file system that cannot sync a folder keeps names its own way
	}
	return err
}

// guard runs fn and returns bbolt's panics as ErrDamaged: it panics on pages that make no
// sense, and a page that cannot be read is a fault. State in trouble may cost an answer,
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

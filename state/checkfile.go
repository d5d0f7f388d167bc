package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// ErrInUse says that a process has the file open.
var ErrInUse = errors.New("in use by another process")

// lookWait is how long CheckFile waits for who has the file open: shorter than lockWait,
// so that a Berth that starts meanwhile does not notice.
const lookWait = 50 * time.Millisecond

// CheckFile reads the bbolt file at path from end to end, and changes nothing: ErrDamaged
// if it makes no sense, ErrInUse if a process has it open, the context's error if that
// ends first. A file that is not there is fine: it is made when it is needed.
func CheckFile(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		err = syscall.EISDIR
	case err == nil && info.Size() > 0:
		err = guard(func() error { return readThrough(ctx, path) })
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil // an empty one is made use of, too
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		err = ErrInUse
	}
	return fmt.Errorf("check %s: %w", path, err)
}

func readThrough(ctx context.Context, path string) (err error) {
	var file *os.File
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		ReadOnly: true, PreLoadFreelist: true, Timeout: lookWait,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	if _, failed := errors.AsType[syscall.Errno](err); err != nil && !failed && !errors.Is(err, bbolterrors.ErrTimeout) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	if err := checkLength(db, file); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrDamaged, err), db.Close())
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readBucket(ctx, b) })
	})
	return errors.Join(err, db.Close())
}

// readBucket touches every page of b. Its keys must be in order, or lookups miss them.
func readBucket(ctx context.Context, b *bbolt.Bucket) error {
	n, last := 0, []byte(nil)
	return b.ForEach(func(k, _ []byte) error {
		if last != nil && string(k) <= string(last) {
			return fmt.Errorf("%w: its keys are not in order", ErrDamaged)
		}
		last = k
		if n++; n%1024 == 1 {
			return ctx.Err()
		}
		return nil
	})
}

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another process has the folder open.
var ErrInUse = errors.New("in use by another process")

// LockFolder keeps every process from opening the store in dir, until release is called. It
// returns ErrInUse, with its number, if one has it open. A folder that is missing is made.
func LockFolder(dir string) (release func() error, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, explain(dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, explain(dir, err)
	}
	lock, err := lockFolder(root)
	if err = errors.Join(err, root.Close()); err != nil {
		return nil, explain(dir, err)
	}
	return lock.Close, nil
}

// lockFolder takes the folder's lock and leaves this process's number in the file. The
// kernel releases the lock with the file, however the process ends; the file stays.
func lockFolder(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w (process %s): stop that one or use another folder", ErrInUse, holder(f))
		}
		return nil, errors.Join(err, f.Close())
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(pid), 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func flock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) { lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	return errors.Join(err, lockErr)
}

// holder reads the process number out of a lock file.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

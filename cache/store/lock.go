package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another process has the folder open.
var ErrInUse = errors.New("in use by another process")

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

// explain says what is wrong with the folder dir and what to do about it.
func explain(dir string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, ErrInUse):
	case errors.Is(err, fs.ErrNotExist):
		hint = ": its parent does not exist: make it, or mount the volume"
	case errors.Is(err, syscall.ENOTDIR) || isFile(dir):
		hint = ": a file is in the way: remove it, or use another folder"
	case errors.Is(err, syscall.EROFS):
		hint = ": the file system is read-only: mount it writable"
	case errors.Is(err, syscall.ENOSPC):
		hint = ": the file system is full: free some space"
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf(": not writable by user %d%s: change its owner, or run as the owner", os.Geteuid(), owner(dir))
	}
	return fmt.Errorf("content folder %s%s: %w", dir, hint, err)
}

// isFile covers what the standard library reports without a number of its own.
func isFile(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && !info.IsDir()
}

// owner tells to whom dir belongs, as an aside for an error; empty when unknown.
func owner(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf(" (it belongs to user %d)", st.Uid)
	}
	return ""
}

//go:build linux || darwin || freebsd

package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// freeBytes tells how many bytes of the file system that f lies on may still be written.
func freeBytes(f *os.File) (int64, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var (
		stat    unix.Statfs_t
		statErr error
	)
	err = conn.Control(func(fd uintptr) {
		for {
			statErr = unix.Fstatfs(int(fd), &stat)
			if !errors.Is(statErr, unix.EINTR) {
				return
			}
		}
	})
	return int64(stat.Bavail) * int64(stat.Bsize), errors.Join(err, statErr)
}

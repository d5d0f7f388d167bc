package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserve allocates size bytes for f without changing its length, so that readers still
// see the end where the bytes end. File systems that cannot are no error.
func reserve(f *os.File, size int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var allocErr error
	err = conn.Control(func(fd uintptr) {
		for {
			allocErr = unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, 0, size)
			if !errors.Is(allocErr, unix.EINTR) {
				return
			}
		}
	})
	if errors.Is(allocErr, errors.ErrUnsupported) || errors.Is(allocErr, unix.EINVAL) {
		allocErr = nil
	}
	return errors.Join(err, allocErr)
}

package cache

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-cache/berth/cache/store"
)

// quietly reads content from its beginning, without pushing what clients use out of the
// kernel's memory: what had to be read from the disk for this is dropped again.
func quietly(content store.Content) io.Reader {
	f, ok := content.(*os.File)
	if !ok {
		return content
	}
	// Reading ahead would bring in what cannot be told from what was there.
	if unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM) != nil {
		return content
	}
	return &quiet{file: f}
}

type quiet struct {
	file *os.File
	pos  int64
}

// Read implements io.Reader.
func (q *quiet) Read(b []byte) (int, error) {
	n, err := unix.Preadv2(int(q.file.Fd()), [][]byte{b}, q.pos, unix.RWF_NOWAIT)
	switch {
	case err == nil && n == 0 && len(b) > 0:
		return 0, io.EOF
	case err == nil:
		q.pos += int64(n)
		return n, nil
	}
	// Not in memory, or not a file system that tells.
	n, err = q.file.ReadAt(b, q.pos)
	if n > 0 {
		// It counts for whole pages.
		_ = unix.Fadvise(int(q.file.Fd()), q.pos, (int64(n)+4095)&^4095, unix.FADV_DONTNEED) //nolint:errcheck // advice: nothing depends on it
		q.pos += int64(n)
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

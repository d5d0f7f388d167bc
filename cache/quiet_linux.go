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
	return &quiet{file: f, cached: readCached}
}

type quiet struct {
	file *os.File
	pos  int64
	// cached is readCached, but in tests.
	cached func(f *os.File, b []byte, off int64) (int, error)
}

// Read implements io.Reader.
func (q *quiet) Read(b []byte) (int, error) {
	// Nothing, without an error, is not the end: Linux 5.9 and 5.10 say that of what is not
	// in memory, too (preadv2(2), BUGS).
	if n, err := q.cached(q.file, b, q.pos); err == nil && n > 0 {
		q.pos += int64(n)
		return n, nil
	}
	// Not in memory, or not a file system that tells.
	n, err := q.file.ReadAt(b, q.pos)
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

// readCached reads as much at off as can be had without waiting for the disk.
func readCached(f *os.File, b []byte, off int64) (int, error) {
	return unix.Preadv2(int(f.Fd()), [][]byte{b}, off, unix.RWF_NOWAIT)
}

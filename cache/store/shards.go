package store

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
)

// shards are the folders that hold content, by algorithm and first byte of the hash, kept
// open once used: opening a file three levels below an os.Root costs three times as much
// as below its own folder. They are at most 512 files.
type shards [2][256]atomic.Pointer[os.Root]

// lasting are the same folders: those whose names no loss of power can take any more, as far
// as this process saw to it.
type lasting [2][256]atomic.Bool

func (l *lasting) of(p place) *atomic.Bool { return &l[p.key[0]-1][p.key[1]] }

// open opens the file of p below root.
func (s *shards) open(root *os.Root, p place) (*os.File, error) {
	slot := &s[p.key[0]-1][p.key[1]]
	shard := slot.Load()
	if shard == nil {
		var err error
		if shard, err = root.OpenRoot(p.dir); err != nil {
			return nil, err
		}
		if !slot.CompareAndSwap(nil, shard) {
			// Another was quicker, and may have closed it since.
			if err := shard.Close(); err != nil {
				return nil, err
			}
			if shard = slot.Load(); shard == nil {
				return nil, os.ErrClosed
			}
		}
	}
	f, err := shard.Open(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		// Or somebody replaced the folder meanwhile.
		return root.Open(p.file)
	}
	return f, err
}

func (s *shards) close() error {
	var errs []error
	for i := range s {
		for j := range s[i] {
			if shard := s[i][j].Swap(nil); shard != nil {
				errs = append(errs, shard.Close())
			}
		}
	}
	return errors.Join(errs...)
}

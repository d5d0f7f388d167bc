package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// bookmarkFile holds how far somebody who looks through the content has come.
const bookmarkFile = "bookmark"

// Bookmark returns what was set last, also by an earlier process; nil if nothing was.
func (s *Disk) Bookmark() ([]byte, error) {
	b, err := s.root.ReadFile(bookmarkFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read bookmark: %w", closedAs(err))
	}
	return b, nil
}

// SetBookmark keeps b. It is whole or as it was before after a crash of the process; of
// the machine, it may be lost.
func (s *Disk) SetBookmark(b []byte) error {
	name := path.Join(stagingDir, rand.Text())
	err := s.root.WriteFile(name, b, 0o600)
	if err == nil {
		err = s.root.Rename(name, bookmarkFile)
	}
	if err != nil {
		return fmt.Errorf("set bookmark: %w", errors.Join(closedAs(err), s.root.RemoveAll(name)))
	}
	return nil
}

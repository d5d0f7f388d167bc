package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// errDisagree says that index and file system tell different things about an object.
var errDisagree = errors.New("index and file disagree")

// errDropped is what settle says of content that it dropped.
var errDropped = fmt.Errorf("%w: %w", ErrNotFound, ErrDropped)

// tryOpen opens the file of p if index and file system agree that it is there. It takes
// no lock: this is the way of every hit, and of a plain miss.
func (s *Disk) tryOpen(p place) (*os.File, record, error) {
	f, err := s.shards.open(s.root, p)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, record{}, err
	}
	r, err := s.index.lookup(p.key)
	if missing {
		if err == nil && r != nil {
			err = errDisagree
		} else if err == nil {
			err = ErrNotFound
		}
		return nil, record{}, err
	}
	size := int64(-1)
	if err == nil {
		size, err = fileSize(f)
	}
	if err == nil && (r == nil || r.size != size) {
		err = errDisagree
	}
	if err != nil {
		return nil, record{}, errors.Join(err, f.Close())
	}
	return f, *r, nil
}

// settle brings index and file system to agree on p: nil when the object is there in
// both, ErrNotFound when it is now in neither.
func (s *Disk) settle(ctx context.Context, p place) error {
	release, err := s.locks.acquire(ctx, p.file)
	if err != nil {
		return err
	}
	defer release()
	r, err := s.index.lookup(p.key)
	if err != nil {
		return err
	}
	doomed := false
	if r == nil {
		if doomed, err = s.index.doomed(p.key); err != nil {
			return err
		}
	}
	info, err := s.root.Lstat(p.file)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return err
	case doomed && !missing:
		if err := s.drop(p); err != nil { // it could not be removed before
			return err
		}
		return ErrNotFound
	case missing && r == nil:
		return ErrNotFound
	case missing:
		s.log.Warn("content file is gone, its record goes too", "digest", p.digest, "size", r.size)
		if err := s.index.apply(func(t *tables) error { return t.remove(p.key) }); err != nil {
			return err
		}
		return ErrNotFound
	case r == nil && info.Mode().IsRegular() && p.plausible(info.Size()):
		s.log.Info("content without a record is recorded", "digest", p.digest, "size", info.Size())
		return s.adopt(p, info)
	case r != nil && info.Mode().IsRegular() && r.size == info.Size():
		return nil
	}
	s.log.Warn("damaged content is dropped", "digest", p.digest, "size", info.Size())
	if err := s.drop(p); err != nil {
		return err
	}
	return errDropped
}

// adopt records the file of p, whose lock the caller holds. It counts as used when it was
// written, so that an index made anew does not forget all order.
func (s *Disk) adopt(p place, info fs.FileInfo) error {
	written := info.ModTime()
	if now := time.Now(); written.After(now) {
		written = now
	}
	r := record{size: info.Size(), committed: written, used: written.UnixNano()}
	return s.index.apply(func(t *tables) error { return t.put(p.key, r) })
}

// still tells whether the file of p is the one that content reads.
func (s *Disk) still(p place, content Content) bool {
	f, ok := content.(*os.File)
	if !ok {
		return false
	}
	read, err := f.Stat()
	if err != nil {
		return false
	}
	lies, err := s.root.Lstat(p.file)
	return err == nil && os.SameFile(read, lies)
}

// drop removes record and file of p, whose lock the caller holds: the record goes first,
// and what is to become of the file is noted with it.
func (s *Disk) drop(p place) error {
	if err := s.index.apply(func(t *tables) error { return t.doom(p.key) }); err != nil {
		return err
	}
	if err := s.unlink(p); err != nil {
		return err
	}
	s.removed(p)
	return nil
}

// removed lets the notes of files that are gone be cleared, once no loss of power can bring
// them back.
func (s *Disk) removed(places ...place) {
	s.index.done.add(intents{doomed: s.synced(places)})
}

// synced syncs the folders of places and returns the keys of those where that was possible:
// whether their files are there is certain from then on. Of the others the notes stay, for
// the next start.
func (s *Disk) synced(places []place) (certain [][]byte) {
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.dir, b.dir) })
	var dir string
	var err error
	for _, p := range places {
		if p.dir != dir {
			dir, err = p.dir, s.syncDir(p.dir)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			if err != nil {
				s.log.Error("folder could not be synced, the next start looks what is there", "folder", dir, "error", err)
			}
		}
		if err == nil {
			certain = append(certain, p.key)
		}
	}
	return certain
}

// unlink removes whatever lies at the place of p.
func (s *Disk) unlink(p place) error {
	if err := s.root.RemoveAll(p.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// publish gives the staged file its name. The caller holds the lock of p.
func (s *Disk) publish(staged string, p place) error {
	if err := s.makeDir(p); err != nil {
		return err
	}
	err := s.root.Rename(staged, p.file)
	if errors.Is(err, fs.ErrNotExist) {
		// Somebody removed the folder.
		s.lasting.of(p).Store(false)
		if err = s.makeDir(p); err == nil {
			err = s.root.Rename(staged, p.file)
		}
	}
	return err
}

// makeDir makes the folder of p and its parent, and syncs what holds their names. A folder
// that is there may be another's, who has not come to that.
func (s *Disk) makeDir(p place) error {
	if s.lasting.of(p).Load() {
		return nil
	}
	if err := s.root.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	err := errors.Join(s.syncDir(path.Dir(p.dir)), s.syncDir("."))
	s.lasting.of(p).Store(err == nil)
	return err
}

// fileSize returns the size of f, which must be a regular file: anything else is -1.
func fileSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1, err
	}
	return info.Size(), nil
}

// closedAs turns the error of a closed root into the store's own.
func closedAs(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	return err
}

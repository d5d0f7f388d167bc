package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// errDone says that a staged file was committed or discarded already.
var errDone = errors.New("already committed or discarded")

// stagedFile is content on its way in, in a file of its own.
type stagedFile struct {
	disk *Disk
	file *os.File
	// name is the file's path below the folder while it is staged.
	name     string
	reserved int64 // bytes
	done     bool

	// mu guards written, where the bytes end; claimed, how many bytes of the store's room
	// are its own; and final: the path that Commit gave the content, empty before.
	mu      sync.Mutex
	written int64
	claimed int64
	final   string
}

var _ Staged = (*stagedFile)(nil)

// Stage implements Store. Of a known size the space is reserved first, so that a full
// store or file system is known before anything was fetched. What is written beyond it has
// to find room as it comes.
func (s *Disk) Stage(ctx context.Context, size int64) (Staged, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("stage content: %w", err)
	}
	room := max(size, 0)
	if err := s.room.take(ctx, room, s.freeNow()); err != nil {
		return nil, fmt.Errorf("stage content of %d bytes: %w", size, err)
	}
	// Upper-case letters: no digest has any.
	name := path.Join(stagingDir, rand.Text())
	f, err := s.create(name)
	if err != nil {
		s.room.give(room)
		return nil, fmt.Errorf("stage content: %w", closedAs(err))
	}
	staged := &stagedFile{disk: s, file: f, name: name, claimed: room}
	if size > 0 {
		if err := reserve(f, size); err != nil {
			return nil, fmt.Errorf("stage content of %d bytes: %w", size, errors.Join(err, staged.Discard()))
		}
		staged.reserved = size
	}
	return staged, nil
}

// create makes a staged file, and the folder of those should somebody have removed it: what
// tidies up takes it for one that nobody needs.
func (s *Disk) create(name string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := s.root.OpenFile(name, flags, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := s.root.Mkdir(stagingDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return s.root.OpenFile(name, flags, 0o600)
}

// Write implements Staged.
func (s *stagedFile) Write(b []byte) (int, error) {
	s.mu.Lock()
	end := s.written
	s.mu.Unlock()
	if err := s.claim(end + int64(len(b))); err != nil {
		return 0, err
	}
	n, err := s.file.Write(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written += int64(n)
	return n, err
}

// WriteAt implements Staged.
func (s *stagedFile) WriteAt(b []byte, off int64) (int, error) {
	if err := s.claim(off + int64(len(b))); err != nil {
		return 0, err
	}
	n, err := s.file.WriteAt(b, off)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = max(s.written, off+int64(n))
	return n, err
}

// claim makes sure that there is room for content that ends at end. The wait for it is
// that of one eviction, which Close ends as well.
func (s *stagedFile) claim(end int64) error {
	s.mu.Lock()
	more := max(0, end-s.claimed)
	s.claimed += more
	s.mu.Unlock()
	if more == 0 {
		return nil
	}
	err := s.disk.room.take(context.Background(), more, s.disk.freeNow())
	if err != nil {
		s.mu.Lock()
		s.claimed -= more
		s.mu.Unlock()
		return fmt.Errorf("write staged content: %w", err)
	}
	return nil
}

// unclaim ends the claim to room, which is its caller's to give back.
func (s *stagedFile) unclaim() (claimed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claimed, s.claimed = s.claimed, 0
	return claimed
}

func (s *stagedFile) reclaim(claimed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed = claimed
}

// Open implements Staged. The Content is an *os.File.
func (s *stagedFile) Open() (Content, error) {
	f, err := s.disk.root.Open(s.name)
	if final := s.committed(); errors.Is(err, fs.ErrNotExist) && final != "" {
		f, err = s.disk.root.Open(final)
	}
	if err != nil {
		return nil, fmt.Errorf("open staged content: %w", closedAs(err))
	}
	return f, nil
}

// Commit implements Staged: sync, record, rename, sync the folder. The record comes before
// the name, with a note that the name is to come: whatever ends the process, the next one
// knows where to look. Once it has begun it does not heed ctx: each step is one sync long,
// and half of them would help nobody.
func (s *stagedFile) Commit(ctx context.Context, d digest.Digest) error {
	p, err := s.disk.enter(ctx, d)
	if err != nil {
		return fmt.Errorf("commit content: %w", err)
	}
	if s.done {
		return fmt.Errorf("commit content %s: %w", d, errDone)
	}
	release, err := s.disk.locks.acquire(ctx, p.file)
	if err != nil {
		return fmt.Errorf("commit content %s: %w", d, err)
	}
	defer release()
	if f, _, err := s.disk.tryOpen(p); err == nil {
		s.setCommitted(p.file)
		return errors.Join(f.Close(), s.Discard())
	}
	if err := s.commit(p); err != nil {
		return fmt.Errorf("commit content %s: %w", d, closedAs(err))
	}
	s.done = true
	return s.file.Close()
}

// commit does the steps of Commit. After an error the file is still staged.
func (s *stagedFile) commit(p place) error {
	if s.reserved > s.written {
		if err := s.file.Truncate(s.written); err != nil {
			return err
		}
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	x := s.disk.index
	r := record{size: s.written, committed: time.Now(), used: x.clock.now()}
	claimed := s.unclaim()
	if err := x.apply(func(t *tables) error { return t.arrive(p.key, r, claimed) }); err != nil {
		s.reclaim(claimed)
		return err
	}
	err := s.disk.publish(s.name, p)
	if err != nil {
		return errors.Join(err, s.retract(p, claimed, (*tables).remove))
	}
	s.setCommitted(p.file)
	if err = s.disk.syncDir(p.dir); err == nil {
		x.done.add(intents{arrived: [][]byte{p.key}})
		return nil
	}
	// What may not be durable is not kept. A loss of power may keep its name all the same.
	s.setCommitted("")
	err = errors.Join(err, s.disk.root.Rename(p.file, s.name))
	return errors.Join(err, s.retract(p, claimed, (*tables).doom))
}

// retract takes back what commit recorded, and with it the claim to room. If that fails the
// bytes count as held, until the record is found to have no file.
func (s *stagedFile) retract(p place, claimed int64, undo func(t *tables, key []byte) error) error {
	err := s.disk.index.apply(func(t *tables) error {
		t.released -= claimed
		return undo(t, p.key)
	})
	if err == nil {
		s.reclaim(claimed)
	}
	return err
}

// Discard implements Staged.
func (s *stagedFile) Discard() error {
	if s.done {
		return nil
	}
	s.done = true
	err := s.file.Close()
	s.disk.room.give(s.unclaim())
	rmErr := s.disk.root.Remove(s.name)
	if errors.Is(rmErr, os.ErrClosed) || errors.Is(rmErr, fs.ErrNotExist) {
		// Of a closed store the next start clears the staging folder.
		rmErr = nil
	}
	return errors.Join(err, rmErr)
}

func (s *stagedFile) committed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.final
}

func (s *stagedFile) setCommitted(file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.final = file
}

// syncDir makes the names in dir durable.
func (s *Disk) syncDir(dir string) error { return syncFolder(s.root.Open, dir) }

// syncFolder makes the names in dir, which open opens, durable. File systems that cannot
// are left to it.
func syncFolder(open func(name string) (*os.File, error), dir string) error {
	f, err := open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
)

const (
	lockFile   = "lock"
	indexFile  = "index.db"
	stagingDir = "staging"
)

// DiskOptions configures a Disk.
type DiskOptions struct {
	// Logger hears of objects found damaged, and of eviction; nil discards.
	Logger *slog.Logger
	// Limits bound what is held; the zero value does not.
	Limits Limits
	// Metrics may be nil.
	Metrics *Metrics
}

// Disk is a Store in one folder of a local file system:
//
//	sha256/ab/<hex>  sha512/ab/<hex>   content, each file under its digest
//	staging/<random>                   content on its way in; emptied at start
//	index.db                           digest → size, last use; what is under way; totals
//	lock                               held while a process uses the folder
//
// Content is durable once Commit returned. What a crash leaves half done is known from
// the index, and mended at the next start. A file without a record, of an index that was
// lost, is recorded when it is next asked for; a record whose file is gone or has another
// size goes, and the digest is ErrNotFound.
type Disk struct {
	root    *os.Root
	shards  shards
	lasting lasting
	lock    *os.File
	index   *index
	uses    *uses
	room    *room
	log     *slog.Logger
	metrics *Metrics
	locks   locks
	// free tells the bytes free in the file system.
	free func() (int64, error)

	// keeper is the goroutine that writes uses and evicts, until stop is closed.
	keeper sync.WaitGroup
	stop   chan struct{}
	closed func() error
}

var _ Store = (*Disk)(nil)

// OpenDisk opens the store in dir, which is made if only its last element is missing. One
// process uses a folder at a time: others get an error that is ErrInUse.
func OpenDisk(dir string, opts DiskOptions) (*Disk, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, explain(dir, err)
	}
	if err := syncFolder(os.Open, filepath.Dir(dir)); err != nil {
		return nil, explain(dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, explain(dir, err)
	}
	s := &Disk{
		root: root, log: opts.Logger, metrics: opts.Metrics,
		uses: newUses(), room: newRoom(opts.Limits, opts.Metrics), stop: make(chan struct{}),
	}
	s.free = func() (int64, error) { return freeBytes(s.lock) }
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.closed = sync.OnceValue(s.close)
	if err := s.prepare(dir); err != nil {
		return nil, errors.Join(explain(dir, err), s.close())
	}
	s.keeper.Go(s.keep)
	return s, nil
}

// prepare takes the lock, clears what an earlier process left behind and opens the index.
func (s *Disk) prepare(dir string) error {
	var err error
	if s.lock, err = lockFolder(s.root); err != nil {
		return err
	}
	if err := s.root.RemoveAll(stagingDir); err != nil {
		return err
	}
	if err := s.root.Mkdir(stagingDir, 0o700); err != nil {
		return err
	}
	if s.index, err = openIndex(filepath.Join(dir, indexFile), s.room.account); err != nil {
		return err
	}
	// The index has its name before any content has.
	if err := s.syncDir("."); err != nil {
		return err
	}
	if s.index.usage() == (Usage{}) && HasContent(dir) {
		s.log.Warn("content lies here that the index, which is new, does not know: each object counts once it was asked for; berth check --repair records all at once", "folder", dir)
	}
	err = s.replay()
	if err != nil && !errors.Is(err, ErrDamaged) { // such as of a full disk, from which much can be served
		s.log.Error("what the last process left half done cannot be mended, the next start tries again", "error", err)
		return nil
	}
	return err
}

// Limit changes the limits. What they ask for is done behind the caller's back. The log
// hears of limits within which nothing can be kept.
func (s *Disk) Limit(l Limits) {
	s.room.limit(l)
	if err := s.room.closedTo(s.freeNow()); err != nil {
		s.log.Warn("nothing can be kept within these limits, pulls go on without", "error", err)
	}
}

// Close releases the folder. Content that is open stays readable; every method returns
// ErrClosed from then on.
func (s *Disk) Close() error { return s.closed() }

func (s *Disk) close() error {
	close(s.stop)
	s.keeper.Wait()
	var errs []error
	if s.index != nil {
		errs = append(errs, s.index.close())
	}
	errs = append(errs, s.shards.close(), s.root.Close())
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Open implements Store. The Content is an *os.File.
func (s *Disk) Open(ctx context.Context, d digest.Digest) (Content, int64, error) {
	f, r, err := s.open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	s.uses.note(r.key, s.index.clock.now(), r.record.used)
	return f, r.record.size, nil
}

// Inspect is Open for who looks after the content: it does not count as a use.
func (s *Disk) Inspect(ctx context.Context, d digest.Digest) (Content, int64, error) {
	f, r, err := s.open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	return f, r.record.size, nil
}

func (s *Disk) open(ctx context.Context, d digest.Digest) (*os.File, keyed, error) {
	p, err := s.enter(ctx, d)
	if err != nil {
		return nil, keyed{}, fmt.Errorf("open content: %w", err)
	}
	f, r, err := s.tryOpen(p)
	for errors.Is(err, errDisagree) {
		if err = s.settle(ctx, p); err == nil {
			f, r, err = s.tryOpen(p)
		}
	}
	if err != nil {
		return nil, keyed{}, fmt.Errorf("open content %s: %w", d, closedAs(err))
	}
	return f, keyed{p.key, r}, nil
}

// Stat implements Store. It answers from the index, which is mapped memory; only content
// without a record costs a look at the file system. Of content whose Commit is about to
// return it may tell already; Open then waits for that.
func (s *Disk) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	p, err := s.enter(ctx, d)
	if err != nil {
		return 0, fmt.Errorf("stat content: %w", err)
	}
	r, err := s.index.lookup(p.key)
	if r == nil && err == nil {
		if _, err = s.root.Lstat(p.file); err == nil {
			if err = s.settle(ctx, p); err == nil {
				r, err = s.index.lookup(p.key)
			}
		}
	}
	switch {
	case err == nil && r != nil:
		return r.size, nil
	case err == nil || errors.Is(err, fs.ErrNotExist):
		err = ErrNotFound
	}
	return 0, fmt.Errorf("stat content %s: %w", d, closedAs(err))
}

// Delete implements Store: the record goes first, the bytes second. What a crash leaves in
// between goes at the next start.
func (s *Disk) Delete(ctx context.Context, d digest.Digest) error {
	_, err := s.dropIf(ctx, "delete", d, func(place) bool { return true })
	return err
}

// Drop implements Store.
func (s *Disk) Drop(ctx context.Context, d digest.Digest, content Content) (dropped bool, err error) {
	return s.dropIf(ctx, "drop", d, func(p place) bool { return s.still(p, content) })
}

// dropIf drops d if it is to be when its turn has come, and tells whether it was. op is what
// errors call it.
func (s *Disk) dropIf(ctx context.Context, op string, d digest.Digest, is func(place) bool) (removed bool, err error) {
	p, err := s.enter(ctx, d)
	if err != nil {
		return false, fmt.Errorf("%s content: %w", op, err)
	}
	release, err := s.locks.acquire(ctx, p.file)
	if err != nil {
		return false, fmt.Errorf("%s content %s: %w", op, d, err)
	}
	defer release()
	if !is(p) {
		return false, nil
	}
	if err := s.drop(p); err != nil {
		return false, fmt.Errorf("%s content %s: %w", op, d, closedAs(err))
	}
	return true, nil
}

// Usage implements Store. Files of an index that was lost are not in it until they are
// asked for.
func (s *Disk) Usage() Usage { return s.index.usage() }

// enter is what every method by digest begins with.
func (s *Disk) enter(ctx context.Context, d digest.Digest) (place, error) {
	if err := ctx.Err(); err != nil {
		return place{}, err
	}
	return locate(d)
}

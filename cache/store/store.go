package store

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrNotFound says that the store does not hold the digest.
	ErrNotFound = errors.New("content not found")
	// ErrDropped says, with ErrNotFound, that content was damaged and has just been dropped.
	ErrDropped = errors.New("damaged content dropped")
	// ErrClosed says that the store has been closed.
	ErrClosed = errors.New("store closed")
)

// Content is an open, complete object: io.Seeker so that ranges can be served, io.WriterTo
// or *os.File underneath so that the kernel can send it. It stays readable after the
// object was deleted, until it is closed.
type Content interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// Staged is content on its way in. Nobody but its holder sees it before Commit.
// One goroutine writes with Write, or any number with WriteAt, stretches that do not
// overlap; the two are not mixed. Any number may Open and read what has been written.
type Staged interface {
	io.Writer
	// WriteAt implements io.WriterAt. What lies between stretches is undefined until it is
	// written, which it has to be before Commit.
	io.WriterAt
	// Open returns a reader of its own over the bytes written so far. Reading past
	// them gives io.EOF, and gives more once more was written. The reader stays usable
	// after Commit and after Discard, until it is closed.
	Open() (Content, error)
	// Commit, once all writing has ended, makes exactly the bytes written durable and
	// visible as digest d, at once and whole. Content of that digest that is there
	// already is kept and is no error.
	Commit(ctx context.Context, d digest.Digest) error
	// Discard drops what was not committed; after Commit it does nothing. It is
	// always called, usually deferred.
	Discard() error
}

// Store holds content by digest. All methods are safe for concurrent use.
type Store interface {
	// Open opens the content of d and tells its size in bytes, or returns ErrNotFound.
	// It counts as a use of d.
	Open(ctx context.Context, d digest.Digest) (Content, int64, error)
	// Stat tells the size of d in bytes without opening it, or returns ErrNotFound.
	Stat(ctx context.Context, d digest.Digest) (int64, error)
	// Use notes a use of d that did without Open. It is cheap.
	Use(d digest.Digest)
	// Stage begins new content of about size bytes; -1 when unknown. It may wait for
	// room to be made. ErrFull says that there is none, and that none can be made.
	Stage(ctx context.Context, size int64) (Staged, error)
	// Delete removes d; content that is absent is no error. Open readers keep reading.
	Delete(ctx context.Context, d digest.Digest) error
	// Drop removes d if content, which Open gave and which is damaged, is what it has still,
	// and tells whether it was.
	Drop(ctx context.Context, d digest.Digest, content Content) (dropped bool, err error)
	// Usage tells how much is held.
	Usage() Usage
}

// Usage is what a store holds.
type Usage struct {
	Objects, Bytes int64
}

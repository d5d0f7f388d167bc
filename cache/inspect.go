package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// Inspectable is a store whose content can be looked after. *store.Disk is one.
type Inspectable interface {
	// Objects yields what is recorded, in an order that stays the same, beginning behind
	// after. An error is the last thing it yields.
	Objects(ctx context.Context, after digest.Digest) iter.Seq2[store.Object, error]
	// Files yields the digests that files lie under, recorded or not; errors likewise.
	Files(ctx context.Context) iter.Seq2[digest.Digest, error]
	// Inspect opens content without counting as a use, or returns store.ErrNotFound. It
	// records what is not recorded. The caller closes the Content.
	Inspect(ctx context.Context, d digest.Digest) (store.Content, int64, error)
	// Delete removes d; content that is absent is no error.
	Delete(ctx context.Context, d digest.Digest) error
}

var _ Inspectable = (*store.Disk)(nil)

// inspectBytes is how much is read at a time: enough for a disk that turns.
const inspectBytes = 256 << 10

// inspector hashes content that is held.
type inspector struct {
	store Inspectable
	buf   []byte
	// read, if set, is told of bytes that were read, and may wait; its error ends the work.
	read func(ctx context.Context, n int) error
}

func newInspector(s Inspectable, read func(ctx context.Context, n int) error) *inspector {
	return &inspector{store: s, buf: make([]byte, inspectBytes), read: read}
}

// errDamaged says that content is not what its digest says, or cannot be read.
var errDamaged = errors.New("content damaged")

// errKept says that damaged content lies there still; nobody is served from it.
var errKept = errors.New("damaged content could not be removed")

// inspect reads and hashes d, and removes it if it is damaged. It returns its size in
// bytes, and errDamaged, errKept with it, store.ErrNotFound or what kept it from looking.
func (i *inspector) inspect(ctx context.Context, d digest.Digest) (int64, error) {
	content, size, err := i.store.Inspect(ctx, d)
	if err != nil {
		return 0, fmt.Errorf("inspect: %w", err)
	}
	err = i.hash(ctx, d, content)
	if err := errors.Join(err, content.Close()); !errors.Is(err, errDamaged) {
		return size, err
	}
	if deleteErr := i.store.Delete(ctx, d); deleteErr != nil {
		return size, errors.Join(err, fmt.Errorf("%w: %w", errKept, deleteErr))
	}
	return size, err
}

func (i *inspector) hash(ctx context.Context, d digest.Digest, content store.Content) error {
	v, err := newVerifier(d)
	if err != nil {
		return err
	}
	in := quietly(content)
	for {
		n, err := in.Read(i.buf)
		if _, hashErr := v.Write(i.buf[:n]); hashErr != nil {
			return hashErr
		}
		if i.read != nil {
			if readErr := i.read(ctx, n); readErr != nil {
				return readErr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if err := v.check(); err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			return nil
		case err != nil:
			return fmt.Errorf("%w: %s: %w", errDamaged, d, err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

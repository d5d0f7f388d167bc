package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// recordsAtOnce bounds how long a walk over the records keeps old pages in use.
	recordsAtOnce = 256
	// namesAtOnce bounds how many names of a folder are in memory.
	namesAtOnce = 1024
)

// Object is what the index knows of one object.
type Object struct {
	Digest digest.Digest
	// Size is in bytes.
	Size int64
	// Used is the last use that was written, by the clock of the store.
	Used time.Time
}

// Objects yields what is recorded, in an order that stays the same, beginning behind
// after, or at the start if that is empty. Records that come or go meanwhile may be
// missed or told; none is told twice. An error is the last thing that is yielded.
func (s *Disk) Objects(ctx context.Context, after digest.Digest) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		var from []byte
		if after != "" {
			p, err := locate(after)
			if err != nil {
				yield(Object{}, fmt.Errorf("list objects: %w", err))
				return
			}
			from = p.key
		}
		for {
			err := ctx.Err()
			var found []keyed
			if err == nil {
				found, err = s.index.following(from, recordsAtOnce)
			}
			if err != nil {
				yield(Object{}, fmt.Errorf("list objects: %w", err))
				return
			}
			for _, k := range found {
				if d := digestOf(k.key); d != "" && !yield(k.object(d), nil) {
					return
				}
				from = k.key
			}
			if len(found) < recordsAtOnce {
				return
			}
		}
	}
}

func (k keyed) object(d digest.Digest) Object {
	return Object{Digest: d, Size: k.record.size, Used: time.Unix(0, k.record.used)}
}

// Files yields the digests that files lie under, whether they are recorded or not: Stat
// records those that are not, Delete removes those that should not be there. An error is
// the last thing that is yielded.
func (s *Disk) Files(ctx context.Context) iter.Seq2[digest.Digest, error] {
	return func(yield func(digest.Digest, error) bool) {
		for name := range algorithms {
			for first := range 256 {
				more, err := s.filesIn(ctx, path.Join(name, fmt.Sprintf("%02x", first)), yield)
				if err != nil {
					yield("", fmt.Errorf("list content files: %w", closedAs(err)))
					return
				}
				if !more {
					return
				}
			}
		}
	}
}

// HasContent tells whether any content lies in the store's folder dir, recorded or not. It
// needs no lock.
func HasContent(dir string) bool {
	for name := range algorithms {
		shards, err := filepath.Glob(filepath.Join(dir, name, "[0-9a-f][0-9a-f]"))
		if err != nil {
			panic(err) // the pattern is wrong
		}
		for _, shard := range shards {
			f, err := os.Open(shard)
			if err != nil {
				continue
			}
			names, _ := f.Readdirnames(1) //nolint:errcheck // no name is told with one
			f.Close()
			if len(names) > 0 {
				return true
			}
		}
	}
	return false
}

// filesIn yields those of one folder; more is false when the caller has had enough.
func (s *Disk) filesIn(ctx context.Context, dir string, yield func(digest.Digest, error) bool) (more bool, err error) {
	f, err := s.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	algorithm := digest.Algorithm(path.Dir(dir))
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		entries, err := f.ReadDir(namesAtOnce)
		for _, e := range entries {
			d := digest.NewDigestFromEncoded(algorithm, e.Name())
			if p, err := locate(d); err != nil || p.dir != dir {
				continue // not of ours
			}
			if !yield(d, nil) {
				return false, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

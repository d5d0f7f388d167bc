package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/berth-cache/berth/cache/store"
)

// Repaired is what a repair found, so far or in all.
type Repaired struct {
	// Objects are whole, of Bytes in all.
	Objects, Bytes int64
	// Damaged were removed: their bytes did not have their digest, or could not be read.
	Damaged int64
	// Gone were recorded and have no file; now they are not recorded.
	Gone int64
}

// Repair reads and hashes all content that lies in s and brings its records to agree with
// it: whole content is recorded, damaged content removed, to be fetched again when it is
// asked for. It tells report now and then. What was done stays done if it ends early.
func Repair(ctx context.Context, s Inspectable, report func(Repaired)) (Repaired, error) {
	var r Repaired
	i := newInspector(s, func(_ context.Context, n int) error {
		r.Bytes += int64(n)
		report(r)
		return nil
	})
	for d, err := range s.Files(ctx) {
		if err != nil {
			return r, fmt.Errorf("repair: %w", err)
		}
		before := r.Bytes
		switch _, err := i.inspect(ctx, d); {
		case err == nil:
			r.Objects++
		case errors.Is(err, errDamaged), errors.Is(err, store.ErrNotFound): // of a wrong size, it goes when it is opened
			r.Bytes = before
			r.Damaged++
		default:
			return r, fmt.Errorf("repair: %w", err)
		}
	}
	// What has a file has been opened by now, so that only records without one are left.
	for o, err := range s.Objects(ctx, "") {
		if err != nil {
			return r, fmt.Errorf("repair: %w", err)
		}
		content, _, err := s.Inspect(ctx, o.Digest)
		switch {
		case errors.Is(err, store.ErrNotFound):
			r.Gone++
			continue
		case err == nil:
			err = content.Close()
		}
		if err != nil {
			return r, fmt.Errorf("repair: %w", err)
		}
	}
	return r, nil
}

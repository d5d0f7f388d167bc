package cache

import (
	"cmp"
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
	// Failed could not be looked at or removed.
	Failed int64
}

// Repair reads and hashes all content that lies in s and brings its records to agree with
// it: whole content is recorded, damaged content removed, to be fetched again when it is
// asked for. It tells report now and then. What was done stays done if it ends early. An
// object that cannot be looked at is passed over; the error tells of the first.
func Repair(ctx context.Context, s Inspectable, report func(Repaired)) (Repaired, error) {
	var r Repaired
	var failed error
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
		_, err := i.inspect(ctx, d)
		if err == nil {
			r.Objects++
			continue
		}
		r.Bytes = before
		damaged := errors.Is(err, errDamaged) || errors.Is(err, store.ErrNotFound) // of a wrong size, it goes when it is opened
		switch {
		case damaged && !errors.Is(err, errKept):
			r.Damaged++
		case ctx.Err() != nil:
			return r, fmt.Errorf("repair: %w", err)
		default:
			r.Failed++
			failed = cmp.Or(failed, err)
		}
	}
	// What has a file has been opened by now, so that only records without one are left.
	for o, err := range s.Objects(ctx, "") {
		if err != nil {
			return r, fmt.Errorf("repair: %w", err)
		}
		switch content, _, err := s.Inspect(ctx, o.Digest); {
		case err == nil:
			content.Close()
		case errors.Is(err, store.ErrNotFound):
			r.Gone++
		case ctx.Err() != nil:
			return r, fmt.Errorf("repair: %w", err)
		} // anything else was told with its file
	}
	if r.Failed > 0 {
		return r, fmt.Errorf("repair: %d objects could not be looked at or removed, first: %w", r.Failed, failed)
	}
	return r, nil
}

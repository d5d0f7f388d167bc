package cache

import (
	"context"
	"fmt"
)

// hashBytes is how much is read at a time to hash it.
const hashBytes = 128 << 10

// hash hashes the content behind the fill's front, reading what has been staged: so it
// goes on beside the download, and does not mind the order in which bytes come. It returns
// when the content, whose size the progress tells by then, was hashed or ctx has ended.
func (f *fill) hash(ctx context.Context) error {
	var buf []byte
	for {
		end, err := f.progress.awaitArrived(ctx, f.hashed)
		if err != nil || end == f.hashed {
			return err
		}
		if need := min(hashBytes, end-f.hashed); int64(len(buf)) < need {
			buf = make([]byte, need)
		}
		if err := f.hashTo(ctx, end, buf); err != nil {
			return err
		}
	}
}

// hashTo hashes what is staged up to end, reading it into buf.
func (f *fill) hashTo(ctx context.Context, end int64, buf []byte) error {
	for f.hashed < end {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.own.ReadAt(buf[:min(int64(len(buf)), end-f.hashed)], f.hashed)
		if n == 0 {
			return storeError(ctx, "hash", fmt.Errorf("read staged content: %w", unexpected(err)))
		}
		if _, err := f.verifier.Write(buf[:n]); err != nil {
			return err
		}
		f.hashed += int64(n)
	}
	return nil
}

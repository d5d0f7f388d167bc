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
	var pos int64
	for {
		end, err := f.progress.awaitArrived(ctx, pos)
		if err != nil || end == pos {
			return err
		}
		if need := min(hashBytes, end-pos); int64(len(buf)) < need {
			buf = make([]byte, need)
		}
		for pos < end {
			n, err := f.own.ReadAt(buf[:min(int64(len(buf)), end-pos)], pos)
			if n == 0 {
				return storeError(ctx, "hash", fmt.Errorf("read staged content: %w", unexpected(err)))
			}
			if _, err := f.verifier.Write(buf[:n]); err != nil {
				return err
			}
			pos += int64(n)
		}
	}
}

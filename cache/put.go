package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Put keeps b as content d, or returns ErrMismatch. It is for small content, such as
// manifests, that the caller has in memory. Nobody may change b any more.
func (c *Contents) Put(ctx context.Context, d digest.Digest, b []byte) error {
	if err := verify(d, b); err != nil {
		return fmt.Errorf("put content: %w", err)
	}
	// Opening, unlike Stat, finds out that a file is gone.
	if r, _, err := c.store.Open(ctx, d); err == nil {
		return r.Close()
	}
	if err := c.stage(ctx, d, b); err != nil {
		if err = storeError(ctx, "put", err); errors.Is(err, ErrStore) {
			c.trouble.unstored(d, err)
		}
		return err
	}
	c.hold(ctx, d, b)
	return nil
}

// stage stages and commits b, which is verified.
func (c *Contents) stage(ctx context.Context, d digest.Digest, b []byte) error {
	staged, err := c.reserve(ctx, int64(len(b)))
	if err != nil {
		return err
	}
	if _, err = staged.Write(b); err == nil {
		err = staged.Commit(ctx, d)
	}
	return errors.Join(err, staged.Discard())
}

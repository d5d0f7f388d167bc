package cache

import (
	"context"
	"time"
)

// origin is where a registry's repository comes from.
type origin struct {
	// Upstream is a fingerprint.
	Upstream string    `json:"upstream"`
	Used     time.Time `json:"used"`
}

// Origin returns the fingerprint of the upstream that a registry's repository comes from,
// or ErrUnknown, which is ErrUnread if there may be one. It counts as a use: origins unused
// for 90 days expire.
func (x *Index) Origin(ctx context.Context, registry, repository string) (string, error) {
	k := key("origin", registry, repository)
	o, err := load[origin](ctx, x, k)
	if err == nil && worn(o.Used) {
		refresh(ctx, x, k, func(o *origin) { o.Used = time.Now() })
	}
	return o.Upstream, err
}

// PutOrigin records the upstream that a registry's repository comes from.
func (x *Index) PutOrigin(ctx context.Context, registry, repository, upstream string) {
	if held, err := x.Origin(ctx, registry, repository); err == nil && held == upstream {
		return
	}
	save(ctx, x, key("origin", registry, repository), origin{Upstream: upstream, Used: time.Now()})
}

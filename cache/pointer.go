package cache

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/state"
)

// Pointer is what a tag points to at one upstream.
type Pointer struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"type"`
	// Size of the manifest in bytes.
	Size int64  `json:"size"`
	ETag string `json:"etag,omitempty"`
	// Checked is when the upstream last said so.
	Checked time.Time `json:"checked"`
	// Ahead are the upstreams, by fingerprint, that had said "not here" before this one
	// was asked. A candidate ahead of it that is not among them was added since.
	Ahead []string `json:"ahead,omitempty"`
}

func pointerKey(r Repository, tag string) string {
	return key("pointer", r.Upstream, r.Name, tag)
}

// Pointer returns what tag points to in r, or ErrUnknown.
func (x *Index) Pointer(ctx context.Context, r Repository, tag string) (Pointer, error) {
	return load[Pointer](ctx, x, pointerKey(r, tag))
}

// PutPointer moves tag in r.
func (x *Index) PutPointer(ctx context.Context, r Repository, tag string, p Pointer) {
	save(ctx, x, pointerKey(r, tag), p)
	x.memory.Set(key("known", r.Upstream, r.Name), true)
}

// DropPointer forgets what tag pointed to in r.
func (x *Index) DropPointer(ctx context.Context, r Repository, tag string) {
	x.drop(ctx, pointerKey(r, tag))
}

// Known tells whether r ever answered for anything: then a refusal means that the
// credential broke, not that the repository is somewhere else.
func (x *Index) Known(ctx context.Context, r Repository) bool {
	k := key("known", r.Upstream, r.Name)
	if v, ok := x.memory.GetIfPresent(k); ok && v == true {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, stateBound)
	defer cancel()
	for _, kind := range []string{"pointer", "link"} {
		found, err := x.state.Scan(ctx, state.Range{Prefix: key(kind, r.Upstream, r.Name, ""), Limit: 1})
		if err != nil {
			x.complain("scan", k, err)
			return false
		}
		if len(found) > 0 {
			x.memory.Set(k, true)
			return true
		}
	}
	return false
}

// Origin returns the fingerprint of the upstream that a registry's repository comes from,
// or ErrUnknown.
func (x *Index) Origin(ctx context.Context, registry, repository string) (string, error) {
	return load[string](ctx, x, key("origin", registry, repository))
}

// PutOrigin records the upstream that a registry's repository comes from.
func (x *Index) PutOrigin(ctx context.Context, registry, repository, upstream string) {
	if held, err := x.Origin(ctx, registry, repository); err == nil && held == upstream {
		return
	}
	save(ctx, x, key("origin", registry, repository), upstream)
}

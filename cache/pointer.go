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
	// Registries are those, by name, whose upstreams were asked for the tag in order, and led
	// here. Others that have this upstream may have one before it that has the tag.
	Registries []string `json:"registries,omitempty"`
	// Used is when the pointer was last known to be in use, to within a day.
	Used time.Time `json:"used"`
}

func pointerKey(r Repository, tag string) string {
	return key("pointer", r.Upstream, r.Name, tag)
}

// Pointer returns what tag points to in r, or ErrUnknown. It counts as a use: pointers
// unused for 90 days expire, however long their tag is valid.
func (x *Index) Pointer(ctx context.Context, r Repository, tag string) (Pointer, error) {
	k := pointerKey(r, tag)
	p, err := load[Pointer](ctx, x, k)
	if err == nil && worn(p.Used) {
		refresh(ctx, x, k, func(p *Pointer) { p.Used = time.Now() })
	}
	return p, err
}

// PutPointer moves tag in r.
func (x *Index) PutPointer(ctx context.Context, r Repository, tag string, p Pointer) {
	p.Used = time.Now()
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
			x.complain(opScan, k, err)
			return false
		}
		if len(found) > 0 {
			x.memory.Set(k, true)
			return true
		}
	}
	return false
}

package cache

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
)

// Kind is what a digest names.
type Kind string

// The kinds of content.
const (
	Manifest Kind = "manifest"
	Blob     Kind = "blob"
)

// Link says that an upstream's repository contains a digest. It is written only when that
// repository itself answered for the digest: what a manifest lists is a hint, never proof.
type Link struct {
	MediaType string `json:"type,omitempty"`
	// Size is in bytes, -1 when the upstream did not tell.
	Size int64 `json:"size"`
	// Used is when the link was last known to be in use, to within a day.
	Used time.Time `json:"used"`
}

func linkKey(r Repository, kind Kind, d digest.Digest) string {
	return key("link", r.Upstream, r.Name, string(kind), d.String())
}

// Link returns the link of d in r, or ErrUnknown. It counts as a use: links unused for 90
// days expire.
func (x *Index) Link(ctx context.Context, r Repository, kind Kind, d digest.Digest) (Link, error) {
	k := linkKey(r, kind, d)
	l, err := load[Link](ctx, x, k)
	if err != nil {
		return Link{}, err
	}
	if worn(l.Used) {
		l.Used = time.Now()
		save(ctx, x, k, l)
	}
	return l, nil
}

// PutLink records that r contains d.
func (x *Index) PutLink(ctx context.Context, r Repository, kind Kind, d digest.Digest, l Link) { //nolint:revive // argument-limit: the four parts of a link and its context
	k := linkKey(r, kind, d)
	if held, err := load[Link](ctx, x, k); err == nil {
		if l.Size < 0 {
			l.Size = held.Size
		}
		if held.MediaType == l.MediaType && held.Size == l.Size {
			return
		}
	}
	l.Used = time.Now()
	save(ctx, x, k, l)
	x.memory.Set(key("known", r.Upstream, r.Name), true)
}

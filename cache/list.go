package cache

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
)

// List is a tag list or a list of referrers as an upstream gave it.
type List struct {
	Body      []byte `json:"body"`
	MediaType string `json:"type"`
	// Next is the query of the page that follows, empty on the last.
	Next string `json:"next,omitempty"`
	// Filters names the filters that the upstream says it applied.
	Filters string    `json:"filters,omitempty"`
	Checked time.Time `json:"checked"`
}

// listKey holds the query's digest: it is the client's own, of any length and bytes.
func listKey(r Repository, query string) string {
	return key("list", r.Upstream, r.Name, digest.FromString(query).Encoded())
}

// List returns the page of r's list that query names ("tags?n=5", "referrers/sha256:…"),
// or ErrUnknown.
func (x *Index) List(ctx context.Context, r Repository, query string) (List, error) {
	return load[List](ctx, x, listKey(r, query))
}

// PutList keeps a page of a list for a day at most.
func (x *Index) PutList(ctx context.Context, r Repository, query string, l List) {
	saveFor(ctx, x, entry[List]{listKey(r, query), l, listsKept})
}

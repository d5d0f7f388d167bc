package cache

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// List is a tag list or a list of referrers as an upstream gave it.
type List struct {
	Body      []byte
	MediaType string
	// Next is the query of the page that follows, empty on the last.
	Next string
	// Filters names the filters that the upstream says it applied.
	Filters string
	Checked time.Time
	// Registries are as a Pointer's.
	Registries []string
}

// listKey holds the query's digest: it is the client's own, of any length and bytes.
func listKey(r Repository, query string) string {
	return key("list", r.Upstream, r.Name, digest.FromString(query).Encoded())
}

// List returns the page of r's list that query names ("tags?n=5", "referrers/sha256:…"),
// or ErrUnknown. Lists are held in memory alone: whoever asks can make up as many queries
// as they like, and each of their answers may be megabytes.
func (x *Index) List(r Repository, query string) (List, error) {
	if v, ok := x.memory.GetIfPresent(listKey(r, query)); ok {
		if l, ok := v.(List); ok {
			return l, nil
		}
	}
	return List{}, ErrUnknown
}

// PutList keeps a page of a list.
func (x *Index) PutList(r Repository, query string, l List) {
	x.memory.Set(listKey(r, query), l)
}

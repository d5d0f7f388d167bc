package pull

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// MaxTags is the longest page of tags that is asked for: more is an error at some
// registries (ECR), or a way to make a cache allocate.
const MaxTags = 1000

// TagPage names a page of a tag list.
type TagPage struct {
	// N is the most tags wanted, -1 for as many as the upstream likes to give.
	N int
	// Last is the tag after which the page begins, empty for the first page.
	Last string
}

func (t TagPage) query() string {
	v := url.Values{}
	if t.N >= 0 {
		v.Set("n", strconv.Itoa(t.N))
	}
	if t.Last != "" {
		v.Set("last", t.Last)
	}
	return v.Encode()
}

// TagList is a page of a repository's tags.
type TagList struct {
	Origin
	Tags []string
	// Next is the page that follows, nil on the last.
	Next *TagPage
}

// Tags answers with a page of the repository's tags. Only q's Route is used. A page of
// none is empty, but the repository has to exist.
func (p *Puller) Tags(ctx context.Context, q Query, want TagPage) (*TagList, error) {
	asked := want
	switch {
	case want.N == 0:
		asked.N = 1
	case want.N > MaxTags:
		asked.N, want.N = MaxTags, MaxTags
	}
	got, err := p.list(ctx, page{
		Query: q, name: "tags?" + asked.query(),
		ask: func(ctx context.Context, u *catalog.Upstream, held bool) (cache.List, error) {
			l, err := p.readList(ctx, u, upstream.Request{
				Kind: upstream.KindTags, Repository: q.Route.Repository, Query: asked.query(), Check: held, Through: q.Through,
			})
			if err != nil {
				return l, err
			}
			if _, err := decodeTags(l.Body); err != nil {
				return l, listBroken(u, err)
			}
			return l, nil
		},
	})
	if err != nil {
		return nil, err
	}
	tags, err := decodeTags(got.Body)
	if err != nil {
		return nil, err
	}
	list := &TagList{Origin: got.Origin}
	list.Tags, list.Next = cut(tags, want, got.Next)
	return list, nil
}

func decodeTags(body []byte) ([]string, error) {
	var doc struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, err
	}
	return doc.Tags, nil
}

// cut makes the page that was wanted of the one that came: registries that drop the query
// (registry.k8s.io's redirects) send all tags, whatever was asked.
func cut(tags []string, want TagPage, next string) ([]string, *TagPage) {
	if i := slices.Index(tags, want.Last); want.Last != "" && i >= 0 {
		tags = tags[i+1:]
	}
	if want.N == 0 {
		return nil, nil
	}
	if want.N > 0 && len(tags) > want.N {
		tags = tags[:want.N]
		return tags, &TagPage{N: want.N, Last: tags[len(tags)-1]}
	}
	v, err := url.ParseQuery(next)
	if next == "" || err != nil || len(tags) == 0 {
		return tags, nil
	}
	following := &TagPage{N: want.N, Last: v.Get("last")}
	if n, err := strconv.Atoi(v.Get("n")); err == nil && n > 0 {
		following.N = min(n, MaxTags)
	}
	if following.Last == "" { // a cursor of the upstream's own: the last tag serves as well
		following.Last = tags[len(tags)-1]
	}
	return tags, following
}

package pull

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// Referrers is a page of the manifests that refer to a digest: an OCI index.
type Referrers struct {
	Origin
	Body []byte
	// Filters names the filters that were applied, empty when none was.
	Filters string
	// Next is the query of the page that follows, empty on the last.
	Next string
}

// Referrers answers with what refers to q's Digest; query is the client's own, whole, since
// parameters beyond the specification's matter (BuildKit repeats predicateType). Where the
// upstream has no such API the answer is made of the fallback tag, and is empty without one.
func (p *Puller) Referrers(ctx context.Context, q Query, query string) (*Referrers, error) {
	name := "referrers/" + q.Digest.String() + "?" + query
	got, err := p.list(ctx, page{
		Query: q, name: name,
		ask: func(ctx context.Context, u *catalog.Upstream, held bool) (cache.List, error) {
			asked := referrersQuery{q, query, held}
			if source := u.SourceFor(q.Route.Repository); source != nil {
				if l, found, err := p.askSource(ctx, source, asked); found || err != nil {
					return l, err
				}
			}
			return p.askReferrers(ctx, u, asked)
		},
		parts: func(u *catalog.Upstream) *catalog.Upstream { return u.SourceFor(q.Route.Repository) },
	})
	if e, ok := errors.AsType[*Error](err); ok && e.Reason == NotFound && !e.Repository {
		got, err = listing{List: emptyIndex(), Origin: Origin{Outcome: Miss}}, nil
	}
	if err != nil {
		return nil, err
	}
	return &Referrers{Origin: got.Origin, Body: got.Body, Filters: got.Filters, Next: got.Next}, nil
}

// referrersQuery is what is asked of one upstream: raw is the query of the request, held that
// there is a list to fall back on.
type referrersQuery struct {
	Query
	raw  string
	held bool
}

// sourceError is the trouble of a source of referrers, which is not the upstream's that is
// asked for them.
type sourceError struct {
	source *catalog.Upstream
	err    error
}

func (e *sourceError) Error() string { return e.err.Error() }

func (e *sourceError) Unwrap() error { return e.err }

// askSource asks a source of referrers, and tells whether it knows any. What it keeps to
// itself, or does not have, is for the upstream to say; its trouble is trouble with the
// list, as a list that lacks its part is no answer.
func (p *Puller) askSource(ctx context.Context, source *catalog.Upstream, q referrersQuery) (l cache.List, found bool, err error) {
	if wait := p.limits.left(source); wait > 0 {
		return l, false, &sourceError{source, limited(source, upstream.RequestLimit, wait)}
	}
	l, err = p.askReferrers(ctx, source, q)
	if err == nil {
		var doc document
		return l, json.Unmarshal(l.Body, &doc) == nil && len(doc.Manifests) > 0, nil
	}
	e, failed := errors.AsType[*upstream.Error](err)
	switch {
	case !failed:
	case e.Class == upstream.NotHere, e.Class == upstream.Denied:
		return l, false, nil
	case e.Class == upstream.Refused:
		p.reportRefusal(search{Query: q.Query}, source, err)
		own := *e // not the upstream's own credential
		own.Class, err = upstream.Unavailable, &own
	}
	return l, false, &sourceError{source, err}
}

func (p *Puller) askReferrers(ctx context.Context, u *catalog.Upstream, q referrersQuery) (cache.List, error) {
	l, err := p.readList(ctx, u, upstream.Request{
		Kind: upstream.KindReferrers, Repository: q.Route.Repository, Reference: q.Digest.String(), Query: q.raw, Check: q.held, Through: q.Through,
	})
	e, failed := errors.AsType[*upstream.Error](err)
	switch {
	case err == nil && l.MediaType == ocispec.MediaTypeImageIndex:
		var doc document
		if json.Unmarshal(l.Body, &doc) != nil || doc.Manifests == nil {
			return l, listBroken(u, errors.New("not an index"))
		}
		return l, nil
	case err == nil: // a web page, or a registry that takes any path for something else
	case !failed || e.Class != upstream.NotHere:
		return l, err
	} // whatever the code: who has no such API may take the path for the name of a repository
	return p.fallback(ctx, u, q)
}

// fallbackHex is how much of a digest the fallback tag has: a sha512 would be no tag.
const fallbackHex = 64

// fallback makes a list of referrers from the tag that clients push where the API is
// missing: <algorithm>-<hex>, which is an index of them.
func (p *Puller) fallback(ctx context.Context, u *catalog.Upstream, q referrersQuery) (cache.List, error) {
	hex := q.Digest.Encoded()
	tag := q.Digest.Algorithm().String() + "-" + hex[:min(len(hex), fallbackHex)]
	m, err := p.fetch(ctx, u, q.manifest(u, tag, ""))
	if e, ok := errors.AsType[*upstream.Error](err); ok && e.Class == upstream.NotHere && !e.Repository {
		// Without API and tag nothing refers to the digest here, but is "here" right?
		if len(q.Route.Candidates) > 1 && !p.index.Known(ctx, q.at(u)) {
			if _, err := p.confirm(ctx, u, q.Query, cache.Manifest); err != nil {
				return cache.List{}, err
			}
		}
		return emptyIndex(), nil
	}
	if err != nil {
		return cache.List{}, err
	}
	var index ocispec.Index
	if !isIndex(m.MediaType) || json.Unmarshal(m.Body, &index) != nil {
		return emptyIndex(), nil
	}
	l := cache.List{MediaType: ocispec.MediaTypeImageIndex}
	if wanted, err := url.ParseQuery(q.raw); err == nil && wanted.Has("artifactType") {
		l.Filters = "artifactType"
		index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			return !slices.Contains(wanted["artifactType"], d.ArtifactType)
		})
	}
	index.MediaType = ocispec.MediaTypeImageIndex
	if index.Manifests == nil {
		index.Manifests = []ocispec.Descriptor{}
	}
	l.Body, err = json.Marshal(index)
	return l, err
}

// emptyIndex is the list of no referrers.
func emptyIndex() cache.List {
	return cache.List{
		Body:      []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`),
		MediaType: ocispec.MediaTypeImageIndex,
	}
}

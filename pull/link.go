package pull

import (
	"context"
	"errors"
	"fmt"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// linked finds a candidate whose repository is known to contain q's digest.
func (p *Puller) linked(ctx context.Context, q Query, kind cache.Kind, prefer *catalog.Upstream) (*catalog.Upstream, cache.Link) {
	if prefer != nil {
		if link, err := p.index.Link(ctx, q.at(prefer), kind, q.Digest); err == nil {
			return prefer, link
		}
	}
	for _, upstreams := range [][]*catalog.Upstream{q.Route.Candidates, q.Route.Sources} {
		for _, u := range upstreams {
			if link, err := p.index.Link(ctx, q.at(u), kind, q.Digest); err == nil {
				return u, link
			}
		}
	}
	return nil, cache.Link{}
}

// digestOrder is the order in which a digest is asked for: where it is known to be, then
// the repository's origin, then the candidates, and where their referrers are.
func (p *Puller) digestOrder(ctx context.Context, route catalog.Route, first *catalog.Upstream) []*catalog.Upstream {
	order := make([]*catalog.Upstream, 0, len(route.Candidates))
	add := func(u *catalog.Upstream) {
		for _, o := range order {
			if o.ID == u.ID { // first may be of an earlier catalog
				return
			}
		}
		order = append(order, u)
	}
	if first != nil {
		add(first)
	}
	if origin, err := p.origin(ctx, route); err == nil && origin != nil {
		add(origin)
	}
	for _, u := range route.Candidates {
		add(u)
	}
	for _, u := range route.Sources {
		add(u)
	}
	return order
}

// confirm asks u whether the repository contains q's digest, and links it if so: by HEAD,
// or where that is refused by a GET of which only the header is read.
func (p *Puller) confirm(ctx context.Context, u *catalog.Upstream, q Query, kind cache.Kind) (cache.Link, error) {
	r := upstream.Request{Method: "HEAD", Kind: upstream.KindManifest, Repository: q.Route.Repository, Reference: q.Digest.String(), Through: q.Through}
	if kind == cache.Blob {
		r.Kind = upstream.KindBlob
	}
	answer, err := p.ask(ctx, u, r)
	e, failed := errors.AsType[*upstream.Error](err)
	// ECR Public answers 401 to the HEAD of a blob that it lets anyone GET.
	refused := failed && (e.Status == 405 || kind == cache.Blob && (e.Status == 401 || e.Status == 403))
	if refused || err == nil && (answer.Size < 0 || kind == cache.Manifest && !known(answer.MediaType)) {
		r.Method = "GET"
		answer, err = p.ask(ctx, u, r)
	}
	if err != nil {
		return cache.Link{}, err
	}
	answer.Body.Close()
	if err := p.proves(ctx, q, kind, answer); err != nil {
		return cache.Link{}, broken(u, q.manifest(u, q.Digest.String(), q.Digest), err)
	}
	link := cache.Link{Size: answer.Size}
	if kind == cache.Manifest {
		link.MediaType = answer.MediaType
	}
	p.index.PutLink(ctx, q.at(u), kind, q.Digest, link)
	return link, nil
}

// proves tells whether an answer of 200 is about q's digest, and not a portal's that says
// 200 to everything: what it claims must fit, and fit the bytes if we hold them.
func (p *Puller) proves(ctx context.Context, q Query, kind cache.Kind, answer *upstream.Response) error {
	if answer.Digest != "" && answer.Digest.Algorithm() == q.Digest.Algorithm() && answer.Digest != q.Digest {
		return fmt.Errorf("it answered for the digest %s with %s", q.Digest, answer.Digest)
	}
	if size, err := p.contents.Stat(ctx, q.Digest); err == nil && answer.Size >= 0 && answer.Size != size {
		return fmt.Errorf("it answered with %d bytes for content of %d", answer.Size, size)
	}
	if kind == cache.Blob {
		if answer.Digest == "" && answer.MediaType == "text/html" {
			return errors.New("it answered with a web page")
		}
		return nil
	}
	if !known(answer.MediaType) {
		return fmt.Errorf("its type %q is no manifest's", answer.MediaType)
	}
	body, err := p.contents.ReadAll(ctx, q.Digest, upstream.MaxManifestBytes)
	if err != nil {
		return nil //nolint:nilerr // not held: the bytes are inspected when they come
	}
	_, err = inspect(body, answer.MediaType)
	return err
}

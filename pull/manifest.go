package pull

import (
	"context"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// byDigest answers for a manifest by digest, preferably from the upstream prefer: from what
// we hold if the repository is linked to it there, else from the first that has it.
func (p *Puller) byDigest(ctx context.Context, q Query, prefer *catalog.Upstream) (*Manifest, error) {
	if m, _ := p.heldManifest(ctx, q, prefer); m != nil {
		return m, nil
	}
	return p.sought(ctx, q, prefer)
}

// sought is byDigest of what is not held. On its own, so that others need no q in the heap.
func (p *Puller) sought(ctx context.Context, q Query, prefer *catalog.Upstream) (*Manifest, error) {
	m, err := p.manifests.do(ctx, q.key("manifest"), func(ctx context.Context) (*Manifest, error) {
		ctx, cancel := context.WithTimeout(ctx, askBound)
		defer cancel()
		// Another flight may have landed between our look and the start of this one.
		m, u := p.heldManifest(ctx, q, prefer)
		switch {
		case m != nil:
			return m, nil
		case u != nil:
			return p.findManifest(ctx, q, u, true)
		}
		return p.findManifest(ctx, q, prefer, false)
	})
	if err != nil {
		return nil, err
	}
	own := *m // the caller's to change; the flight's is everybody's
	return &own, nil
}

// heldManifest answers from what we hold, if the repository is linked to it at an upstream,
// preferably prefer. It returns that upstream even if there is too little to answer with.
func (p *Puller) heldManifest(ctx context.Context, q Query, prefer *catalog.Upstream) (*Manifest, *catalog.Upstream) {
	u, link := p.linked(ctx, q, cache.Manifest, prefer)
	if u == nil {
		return nil, nil
	}
	m := &Manifest{Origin: Origin{Upstream: u.Name, Outcome: Hit}, Digest: q.Digest, MediaType: link.MediaType, Size: link.Size}
	if q.Head && link.Size >= 0 {
		return m, u
	}
	body, err := p.contents.ReadAll(ctx, q.Digest, upstream.MaxManifestBytes)
	if err != nil {
		return nil, u
	}
	m.Body, m.Size = body, int64(len(body))
	return m, u
}

// findManifest asks the upstreams for a manifest by digest. Where its bytes are held, or
// not wanted, a HEAD is enough to prove that a repository contains it.
func (p *Puller) findManifest(ctx context.Context, q Query, prefer *catalog.Upstream, linked bool) (*Manifest, error) {
	s := search{Query: q, order: p.digestOrder(ctx, q.Route, prefer), verified: true}
	confirm := q.Head || !linked && p.holds(ctx, q.Digest)
	got, err := walk(ctx, p, s, func(ctx context.Context, u *catalog.Upstream) (*Manifest, error) {
		if confirm {
			link, err := p.confirm(ctx, u, q, cache.Manifest)
			if err != nil {
				return nil, err
			}
			m := &Manifest{Origin: Origin{Upstream: u.Name, Outcome: Miss}, Digest: q.Digest, MediaType: link.MediaType, Size: link.Size}
			if q.Head && link.Size >= 0 {
				return m, nil
			}
			if body, err := p.contents.ReadAll(ctx, q.Digest, upstream.MaxManifestBytes); err == nil {
				m.Body, m.Size, m.Outcome = body, int64(len(body)), Unchanged
				return m, nil
			}
		}
		return p.fetch(ctx, u, q.manifest(u, q.Digest.String(), q.Digest))
	})
	if err != nil {
		return nil, err
	}
	return got.value, nil
}

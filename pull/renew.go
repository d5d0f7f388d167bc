package pull

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// renew fetches what a tag moved to, before anybody is pointed there: the manifest and,
// of an index, the platforms that were pulled of the old one.
func (p *Puller) renew(ctx context.Context, q Query, old pointed, now resolved) ([]byte, error) {
	body := now.body
	if body == nil {
		m, err := p.fetch(ctx, now.from, q.manifest(now.from, now.pointer.Digest.String(), now.pointer.Digest))
		if err != nil {
			return nil, p.unfetched(ctx, q, now.from, err)
		}
		body = m.Body
	}
	for _, d := range p.successors(ctx, old.pointer.Digest, body) {
		if _, err := p.fetch(ctx, now.from, q.manifest(now.from, d.String(), d)); err != nil {
			return nil, p.unfetched(ctx, q, now.from, err)
		}
	}
	return body, nil
}

// renewed tells whether what renew fetched is held now: a store in trouble may not have taken it.
func (p *Puller) renewed(ctx context.Context, old pointed, now resolved) bool {
	return p.holds(ctx, now.pointer.Digest) && len(p.successors(ctx, old.pointer.Digest, now.body)) == 0
}

// unfetched is the error of a tag that moved to something that cannot be had: whatever the
// upstream said, the tag itself is there, so the old image goes on being served.
func (p *Puller) unfetched(ctx context.Context, q Query, u *catalog.Upstream, err error) error {
	v := p.judge(ctx, search{Query: q}, u, err)
	e := search{Query: q}.failed(v.reason, []Answer{{u.Name, "the tag moved, but what it moved to cannot be fetched: " + v.said}}, v.retryAfter)
	if v.reason == NotFound || v.reason == Denied {
		e.Reason = Unavailable
	}
	return e
}

// successors returns the manifests of the index now that take the place of those that we
// hold of the index old: the same platforms, which somebody pulled.
func (p *Puller) successors(ctx context.Context, old digest.Digest, now []byte) []digest.Digest {
	var before, after document
	raw, err := p.contents.ReadAll(ctx, old, upstream.MaxManifestBytes)
	if err != nil || json.Unmarshal(raw, &before) != nil || json.Unmarshal(now, &after) != nil {
		return nil
	}
	var next []digest.Digest
	for _, child := range after.Manifests {
		if child.Platform == nil || child.Platform.OS == "unknown" || child.Digest.Validate() != nil {
			continue
		}
		pulled := slices.ContainsFunc(before.Manifests, func(d ocispec.Descriptor) bool {
			return d.Platform != nil && samePlatform(*d.Platform, *child.Platform) && p.holds(ctx, d.Digest)
		})
		if pulled && !p.holds(ctx, child.Digest) {
			next = append(next, child.Digest)
		}
	}
	return next
}

func samePlatform(a, b ocispec.Platform) bool {
	return a.OS == b.OS && a.Architecture == b.Architecture && a.Variant == b.Variant && a.OSVersion == b.OSVersion
}

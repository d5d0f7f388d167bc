package pull

import (
	"context"
	"errors"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// ask sends one request to u.
func (p *Puller) ask(ctx context.Context, u *catalog.Upstream, r upstream.Request) (*upstream.Response, error) {
	client, ok := u.Client.(Upstream)
	if !ok {
		return nil, &upstream.Error{Upstream: u.Name, Class: upstream.Unavailable, Message: "is not set up in this process"}
	}
	if wait := p.limits.pull(u, r); wait > 0 {
		return nil, limited(u, upstream.PullLimit, wait)
	}
	return client.Do(ctx, r)
}

// answeredTag is what an upstream said of a tag.
type answeredTag struct {
	pointer cache.Pointer
	body    []byte // when it was a GET
}

// askTag asks u where a tag points: by HEAD if q is one or while we hold what it pointed
// to, since a HEAD costs no pull at Docker Hub; by GET otherwise, which brings the
// manifest along. A HEAD that u does not allow, or answers without digest or length,
// becomes a GET; one that failed otherwise does not.
func (p *Puller) askTag(ctx context.Context, u *catalog.Upstream, q Query, held *cache.Pointer) (answeredTag, error) {
	if q.Head || held != nil {
		head, err := p.ask(ctx, u, upstream.Request{
			Method: "HEAD", Kind: upstream.KindManifest, Repository: q.Route.Repository, Reference: q.Tag, Check: held != nil, Through: q.Through,
		})
		e, failed := errors.AsType[*upstream.Error](err)
		switch {
		case failed && e.Status == 405:
		case err != nil:
			return answeredTag{}, err
		case head.Digest != "" && head.Size >= 0 && known(head.MediaType):
			p.index.PutLink(ctx, q.at(u), cache.Manifest, head.Digest, cache.Link{MediaType: head.MediaType, Size: head.Size})
			return answeredTag{pointer: cache.Pointer{
				Digest: head.Digest, MediaType: head.MediaType, Size: head.Size, ETag: head.ETag,
			}}, nil
		case held != nil && head.Digest == "" && head.ETag != "" && head.ETag == held.ETag:
			return answeredTag{pointer: *held}, nil
		}
	}
	m, err := p.fetch(ctx, u, q.manifest(u, q.Tag, ""))
	if err != nil {
		return answeredTag{}, err
	}
	return answeredTag{
		pointer: cache.Pointer{Digest: m.Digest, MediaType: m.MediaType, Size: m.Size, ETag: m.etag},
		body:    m.Body,
	}, nil
}

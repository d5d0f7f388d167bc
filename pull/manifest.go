package pull

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

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
			Method: "HEAD", Kind: upstream.KindManifest, Repository: q.Route.Repository, Reference: q.Tag, Check: held != nil,
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
	m, err := p.fetch(ctx, u, manifestRef{q.at(u), q.Tag, ""})
	if err != nil {
		return answeredTag{}, err
	}
	return answeredTag{
		pointer: cache.Pointer{Digest: m.Digest, MediaType: m.MediaType, Size: m.Size, ETag: m.etag},
		body:    m.Body,
	}, nil
}

// manifestRef is a manifest at an upstream: its repository, the tag or digest to ask for,
// and the digest it must have, empty when that is not known.
type manifestRef struct {
	repository cache.Repository
	reference  string
	digest     digest.Digest
}

// fetch gets a manifest from u, verifies it, keeps it and links it. It returns an
// *upstream.Error when that cannot be done.
func (p *Puller) fetch(ctx context.Context, u *catalog.Upstream, ref manifestRef) (*Manifest, error) {
	answer, err := p.ask(ctx, u, upstream.Request{
		Method: "GET", Kind: upstream.KindManifest, Repository: ref.repository.Name, Reference: ref.reference,
	})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, broken(u, ref, err)
	}
	if answer.Size >= 0 && int64(len(body)) != answer.Size {
		return nil, broken(u, ref, fmt.Errorf("announced %d bytes and sent %d", answer.Size, len(body)))
	}
	d, err := verify(body, ref.digest, answer.Digest)
	if err != nil {
		return nil, broken(u, ref, err)
	}
	mediaType, err := inspect(body, answer.MediaType)
	if err != nil {
		return nil, broken(u, ref, err)
	}
	outcome := Miss
	if err := p.contents.Put(ctx, d, body); err != nil {
		outcome = Unstored
		if !errors.Is(err, cache.ErrStore) { // else the contents have said so
			p.logger.Error("manifest not kept", "digest", d, "error", err)
		}
	}
	p.index.PutLink(ctx, ref.repository, cache.Manifest, d, cache.Link{MediaType: mediaType, Size: int64(len(body))})
	return &Manifest{
		Origin: Origin{Upstream: u.Name, Outcome: outcome},
		Digest: d, MediaType: mediaType, Size: int64(len(body)), Body: body,
		etag: answer.ETag,
	}, nil
}

// broken is an answer about ref that cannot be used.
func broken(u *catalog.Upstream, ref manifestRef, err error) error {
	if e, ok := errors.AsType[*upstream.Error](err); ok {
		return e
	}
	said := "sent a manifest that cannot be used: " + err.Error()
	switch {
	case errors.Is(err, upstream.ErrTooLarge):
		said = "sent a manifest that is larger than allowed"
	case errors.Is(err, io.ErrUnexpectedEOF):
		said = "sent less of the manifest than it announced"
	}
	return &upstream.Error{
		Upstream: u.Name, Op: "read manifest " + ref.repository.Name + " " + ref.reference,
		Class: upstream.Unavailable, Message: said, Err: err,
	}
}

// verify returns the digest of body: the one wanted, or without that the one the upstream
// claims if it is right, or sha256 if it claims none.
func verify(body []byte, wanted, claimed digest.Digest) (digest.Digest, error) {
	d := wanted
	if d == "" {
		d = claimed
	}
	if d == "" {
		return digest.FromBytes(body), nil
	}
	if is := d.Algorithm().FromBytes(body); is != d {
		return "", fmt.Errorf("its bytes have the digest %s instead of %s", is, d)
	}
	return d, nil
}

// byDigest answers for a manifest by digest, preferably from the upstream prefer: from what
// we hold if the repository is linked to it there, else from the first that has it.
func (p *Puller) byDigest(ctx context.Context, q Query, prefer *catalog.Upstream) (*Manifest, error) {
	if m, _ := p.heldManifest(ctx, q, prefer); m != nil {
		return m, nil
	}
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
		return p.fetch(ctx, u, manifestRef{q.at(u), q.Digest.String(), q.Digest})
	})
	if err != nil {
		return nil, err
	}
	return got.value, nil
}

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
	r := upstream.Request{Method: "HEAD", Kind: upstream.KindManifest, Repository: q.Route.Repository, Reference: q.Digest.String()}
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
		return cache.Link{}, broken(u, manifestRef{q.at(u), q.Digest.String(), q.Digest}, err)
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

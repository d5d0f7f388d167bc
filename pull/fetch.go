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

// manifestRef is a manifest at an upstream: its repository, the tag or digest to ask for,
// and the digest it must have, empty when that is not known.
type manifestRef struct {
	repository cache.Repository
	reference  string
	digest     digest.Digest
	through    []string // as of the Query
}

// manifest is a manifest of the query's repository at u.
func (q Query) manifest(u *catalog.Upstream, reference string, d digest.Digest) manifestRef {
	return manifestRef{q.at(u), reference, d, q.Through}
}

// fetch gets a manifest from u, verifies it, keeps it and links it. It returns an
// *upstream.Error when that cannot be done.
func (p *Puller) fetch(ctx context.Context, u *catalog.Upstream, ref manifestRef) (*Manifest, error) {
	answer, err := p.ask(ctx, u, upstream.Request{
		Method: "GET", Kind: upstream.KindManifest, Repository: ref.repository.Name, Reference: ref.reference, Through: ref.through,
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

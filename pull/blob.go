package pull

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// Blob answers for a blob by digest. It returns an *Error, or the context's error. Content
// is served, and a fill joined, only through a repository that is known to contain it.
func (p *Puller) Blob(ctx context.Context, q Query) (*Blob, error) {
	u, link := p.linked(ctx, q, cache.Blob, nil)
	if q.Head {
		return p.blobHead(ctx, q, u, link)
	}
	if u != nil {
		if b := p.heldBlob(ctx, q, u); b != nil {
			return b, nil
		}
		if !p.contents.Begins(q.Digest) {
			return p.serve(ctx, q, u, newSource(p, q, u))
		}
	}
	return p.soughtBlob(ctx, q)
}

// soughtBlob answers with a blob that has to be looked for, or begun to be fetched.
func (p *Puller) soughtBlob(ctx context.Context, q Query) (*Blob, error) {
	fl := p.blobs.join(q.key("blob"), func(ctx context.Context) (*located, error) { return p.locate(ctx, q) })
	defer fl.leave()
	at, err := fl.wait(ctx)
	if err != nil {
		return nil, err
	}
	if fill := at.fill.Swap(nil); fill != nil {
		fill.Bind(ctx)
		return &Blob{Origin: Origin{Upstream: at.from.Name, Outcome: Miss}, Digest: q.Digest, Reader: fill, Size: fill.Size()}, nil
	}
	b, err := p.serve(ctx, q, at.from, newSource(p, q, at.from))
	if err == nil && at.filled && b.Outcome != Unstored {
		b.Outcome = Joined // though the fill may be over by now
	}
	return b, err
}

// heldBlob answers from what is held of u's, nil if that is not.
func (p *Puller) heldBlob(ctx context.Context, q Query, u *catalog.Upstream) *Blob {
	r, err := p.contents.Open(ctx, q.Digest)
	if err != nil {
		return nil
	}
	return &Blob{Origin: Origin{Upstream: u.Name, Outcome: Hit}, Digest: q.Digest, Reader: r, Size: r.Size()}
}

// serve reads from what is held, or else from the fill, which it starts if there is none.
func (p *Puller) serve(ctx context.Context, q Query, u *catalog.Upstream, src *source) (*Blob, error) {
	if b := p.heldBlob(ctx, q, u); b != nil {
		return b, nil
	}
	b := &Blob{Origin: Origin{Upstream: u.Name, Outcome: Miss}, Digest: q.Digest}
	if p.contents.Filling(q.Digest) {
		b.Outcome = Joined
	}
	r, err := p.contents.Fill(ctx, q.Digest, src)
	if errors.Is(err, cache.ErrStore) {
		b.Outcome = Unstored
		r, err = p.contents.PassThrough(ctx, q.Digest, newSource(p, q, u), err)
	}
	if err != nil {
		return nil, p.unfilled(ctx, q, u, err)
	}
	b.Reader, b.Size = r, r.Size()
	return b, nil
}

// unfilled is the error of a fill as a pull's: the source's own, the client's leaving, or
// trouble on our side.
func (p *Puller) unfilled(ctx context.Context, q Query, u *catalog.Upstream, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.logger.Error("blob not filled", "upstream", u.Name, "digest", q.Digest, "error", err)
	said := "the blob cannot be brought in; the log says why"
	if errors.Is(err, cache.ErrMismatch) {
		said = "sent bytes that do not have the digest asked for"
	}
	return search{Query: q}.failed(Unavailable, []Answer{{u.Name, said}}, 0)
}

// located is a blob that has been found at an upstream.
type located struct {
	from *catalog.Upstream
	size int64 // bytes; for a HEAD
	// filled: finding it began a fill. fill follows that, so that it has a client at once;
	// the first of those who wait for it takes it over.
	filled bool
	fill   atomic.Pointer[cache.Reader]
}

func (l *located) release() {
	if l == nil {
		return
	}
	if fill := l.fill.Swap(nil); fill != nil {
		fill.Close()
	}
}

// locate finds an upstream whose repository contains a blob. Where its bytes are held, or
// arriving for somebody else, a link or a HEAD is enough; else the GET that finds it begins
// the fill. So a fill has its answer when it begins, and who joins it does not wait for one,
// which may be on its way to him.
func (p *Puller) locate(ctx context.Context, q Query) (*located, error) {
	u, _ := p.linked(ctx, q, cache.Blob, nil)
	held := p.holds(ctx, q.Digest)
	switch {
	case u != nil && (held || !p.contents.Begins(q.Digest)):
		return &located{from: u}, nil // by others, between our look and now
	case u == nil && (held || p.contents.Filling(q.Digest)):
		return p.confirmed(ctx, q, nil)
	}
	src := newSource(p, q, u)
	from, answer, err := src.begin(ctx)
	if err != nil {
		return nil, err
	}
	fill, err := p.contents.Fill(ctx, q.Digest, src)
	if errors.Is(err, cache.ErrStore) {
		p.found(ctx, q, from, answer)
		return &located{from: from}, nil // each who waits has it passed through
	}
	if err != nil {
		return nil, p.unfilled(ctx, q, from, err)
	}
	// Not before the fill runs: who sees the link, and no fill, begins one of its own.
	p.found(ctx, q, from, answer)
	at := &located{from: from, filled: true}
	at.fill.Store(fill)
	return at, nil
}

// confirmed finds an upstream, prefer first, whose repository says that it contains a blob.
func (p *Puller) confirmed(ctx context.Context, q Query, prefer *catalog.Upstream) (*located, error) {
	s := search{Query: q, order: p.digestOrder(ctx, q.Route, prefer), verified: true}
	got, err := walk(ctx, p, s, func(ctx context.Context, u *catalog.Upstream) (cache.Link, error) {
		return p.confirm(ctx, u, q, cache.Blob)
	})
	if err != nil {
		return nil, err
	}
	return &located{from: got.from, size: got.value.Size}, nil
}

// blobHead answers a HEAD: from the link or what is held, else by a HEAD upstream.
func (p *Puller) blobHead(ctx context.Context, q Query, u *catalog.Upstream, link cache.Link) (*Blob, error) {
	b := &Blob{Digest: q.Digest, Size: link.Size}
	if u != nil {
		b.Origin = Origin{Upstream: u.Name, Outcome: Hit}
		if size, err := p.contents.Stat(ctx, q.Digest); err == nil {
			b.Size = size
		}
		if b.Size >= 0 {
			return b, nil
		}
	}
	fl := p.blobs.join(q.key("blob"), func(ctx context.Context) (*located, error) {
		ctx, cancel := context.WithTimeout(ctx, askBound)
		defer cancel()
		return p.confirmed(ctx, q, u)
	})
	defer fl.leave()
	at, err := fl.wait(ctx)
	if err != nil {
		return nil, err
	}
	b.Origin, b.Size = Origin{Upstream: at.from.Name, Outcome: Miss}, at.size
	if b.Size < 0 {
		return nil, search{Query: q}.failed(Unavailable, []Answer{{at.from.Name, "does not tell the blob's size; GET it instead"}}, 0)
	}
	return b, nil
}

// found notes that u's repository has answered 200 for a blob. Nothing of the body is verified
// yet: the size is noted where the answer names the digest as well, else the HEADs of weeks
// would be answered with the size of a portal's page.
func (p *Puller) found(ctx context.Context, q Query, u *catalog.Upstream, answer *upstream.Response) {
	size := int64(-1)
	if answer.Digest == q.Digest {
		size = answer.Size
	}
	p.index.PutLink(ctx, q.at(u), cache.Blob, q.Digest, cache.Link{Size: size})
}

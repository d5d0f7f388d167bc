package pull

import (
	"context"
	"io"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// source brings in one blob: from the upstream that it is known at, and when that breaks
// from another whose repository contains it too.
type source struct {
	puller *Puller
	query  Query
	from   *catalog.Upstream  // where it was found last
	opened *upstream.Response // by begin, for the first Open
	end    context.CancelFunc // of the context that opened's body is bound to
}

var _ cache.Source = (*source)(nil)

func newSource(p *Puller, q Query, from *catalog.Upstream) *source {
	return &source{puller: p, query: q, from: from}
}

// begin opens the source ahead of its first Open, so that what finding the blob cost is
// not spent twice. ctx bounds the call, not the body, whose bound that Open brings.
func (s *source) begin(ctx context.Context) (err error) {
	body, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	defer stop()
	s.end = end
	if s.opened, err = s.open(body, 0); err != nil {
		end()
	}
	return err
}

// Open implements cache.Source. Its error is an *Error.
func (s *source) Open(ctx context.Context, offset, _ int64) (cache.Part, error) {
	if s.opened != nil && offset == 0 {
		answer := s.opened
		s.opened = nil
		return part(answer, bound{answer.Body, s.end, context.AfterFunc(ctx, s.end)}), nil
	}
	if err := s.Close(); err != nil {
		s.puller.logger.Debug("blob opened ahead was not closed", "digest", s.query.Digest, "error", err)
	}
	answer, err := s.open(ctx, offset)
	if err != nil {
		return cache.Part{}, err
	}
	s.puller.found(ctx, s.query, s.from, answer.Size)
	return part(answer, answer.Body), nil
}

func part(answer *upstream.Response, body io.ReadCloser) cache.Part {
	return cache.Part{Body: body, Offset: answer.Offset, Total: answer.Size}
}

// Close drops what begin opened, when it turned out not to be needed.
func (s *source) Close() error {
	if s.opened == nil {
		return nil
	}
	defer func() { s.opened = nil }()
	return bound{s.opened.Body, s.end, nil}.Close()
}

// bound is a body that ends with another context than it was opened with.
type bound struct {
	io.ReadCloser
	end    context.CancelFunc
	unbind func() bool // from the other context
}

func (b bound) Close() error {
	if b.unbind != nil {
		b.unbind()
	}
	defer b.end()
	return b.ReadCloser.Close()
}

func (s *source) open(ctx context.Context, offset int64) (*upstream.Response, error) {
	p, q := s.puller, s.query
	w := search{Query: q, order: p.digestOrder(ctx, q.Route, s.from), verified: true}
	got, err := walk(ctx, p, w, func(ctx context.Context, u *catalog.Upstream) (*upstream.Response, error) {
		return p.ask(ctx, u, upstream.Request{
			Method: "GET", Kind: upstream.KindBlob, Repository: q.Route.Repository,
			Reference: q.Digest.String(), Offset: offset,
		})
	})
	if err != nil {
		return nil, err
	}
	s.from = got.from
	return got.value, nil
}

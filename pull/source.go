package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// errSegment says that an upstream did not answer with the segment asked for.
var errSegment = errors.New("not the segment asked for")

// source brings in one blob: from the upstream that it is known at, and when that breaks
// from another whose repository contains it too.
type source struct {
	puller *Puller
	query  Query

	// mu guards what is below.
	mu     sync.Mutex
	from   *catalog.Upstream  // where it was found last
	answer *upstream.Response // what it said then, for the header
	opened *upstream.Response // by begin, for the first Open
	end    context.CancelFunc // of the context that opened's body is bound to
}

var (
	_ cache.Source = (*source)(nil)
	_ cache.Copier = (*source)(nil)
)

func newSource(p *Puller, q Query, from *catalog.Upstream) *source {
	return &source{puller: p, query: q, from: from}
}

// Copy implements cache.Copier.
func (s *source) Copy() cache.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newSource(s.puller, s.query, s.from)
}

// Places implements cache.Copier.
func (s *source) Places() string {
	places := []string{s.query.Route.Repository}
	for _, u := range slices.Concat(s.query.Route.Candidates, s.query.Route.Sources) {
		places = append(places, u.ID)
	}
	return strings.Join(places, "|")
}

// begin opens the source ahead of its first Open, so that what finding the blob cost is
// not spent twice. ctx bounds the call, not the body, whose bound that Open brings. It
// returns where the blob is and the answer, whose body stays the source's.
func (s *source) begin(ctx context.Context) (*catalog.Upstream, *upstream.Response, error) {
	body, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	defer stop()
	from, answer, err := s.open(body, 0)
	if err != nil {
		end()
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened, s.end = answer, end
	return from, answer, nil
}

// Open implements cache.Source. Its error is an *Error, but for a segment.
func (s *source) Open(ctx context.Context, offset, length int64) (cache.Part, error) {
	if length >= 0 {
		return s.segment(ctx, offset, length)
	}
	if answer, end, from := s.ahead(); answer != nil {
		if offset == 0 {
			return s.part(from, answer, bound{answer.Body, end, context.AfterFunc(ctx, end)}), nil
		}
		s.drop(answer, end)
	}
	from, answer, err := s.open(ctx, offset)
	if err != nil {
		return cache.Part{}, err
	}
	s.puller.found(ctx, s.query, from, answer)
	return s.part(from, answer, answer.Body), nil
}

func (s *source) part(from *catalog.Upstream, answer *upstream.Response, body io.ReadCloser) cache.Part {
	part := cache.Part{Body: body, Offset: answer.Offset, Total: answer.Size}
	if !answer.NoRanges {
		part.Lanes = s.puller.lanes.of(from)
	}
	return part
}

// ahead takes what begin opened, if that is still there.
func (s *source) ahead() (*upstream.Response, context.CancelFunc, *catalog.Upstream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.opened
	s.opened = nil
	return answer, s.end, s.from
}

func (s *source) drop(answer *upstream.Response, end context.CancelFunc) {
	if err := (bound{answer.Body, end, nil}).Close(); err != nil {
		s.puller.logger.Debug("blob opened ahead was not closed", "digest", s.query.Digest, "error", err)
	}
}

// Close drops what begin opened, when it turned out not to be needed.
func (s *source) Close() error {
	if answer, end, _ := s.ahead(); answer != nil {
		s.drop(answer, end)
	}
	return nil
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

func (s *source) request(offset, length int64) upstream.Request {
	return upstream.Request{
		Method: "GET", Kind: upstream.KindBlob, Repository: s.query.Route.Repository,
		Reference: s.query.Digest.String(), Offset: offset, Length: length, Through: s.query.Through,
	}
}

// open finds the blob, first where it was found last.
func (s *source) open(ctx context.Context, offset int64) (*catalog.Upstream, *upstream.Response, error) {
	p, q := s.puller, s.query
	s.mu.Lock()
	from := s.from
	s.mu.Unlock()
	w := search{Query: q, order: p.digestOrder(ctx, q.Route, from), verified: true}
	got, err := walk(ctx, p, w, func(ctx context.Context, u *catalog.Upstream) (*upstream.Response, error) {
		return p.ask(ctx, u, s.request(offset, -1))
	})
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from, s.answer = got.from, got.value
	return got.from, got.value, nil
}

// segment asks where the blob was found last, and nobody else. That upstream's 429 closes
// its lanes and no more: what came over one connection until now goes on to.
func (s *source) segment(ctx context.Context, offset, length int64) (cache.Part, error) {
	s.mu.Lock()
	from, first := s.from, s.answer
	s.mu.Unlock()
	if from == nil || first == nil {
		return cache.Part{}, fmt.Errorf("%w: nothing was found yet", errSegment)
	}
	lanes := s.puller.lanes.of(from)
	if lanes == nil {
		// The source went there while a crew that another upstream allowed was at work.
		return cache.Part{}, fmt.Errorf("upstream %s: %w: it is asked over one connection", from.Name, errSegment)
	}
	answer, err := s.puller.ask(ctx, from, s.request(offset, length))
	if err != nil {
		if e, ok := errors.AsType[*upstream.Error](err); ok && e.Class == upstream.Limited {
			lanes.Pause(e.RetryAfter)
		}
		return cache.Part{}, err
	}
	if said := differs(first, answer, offset); said != "" {
		answer.Body.Close()
		return cache.Part{}, fmt.Errorf("upstream %s: %w: %s", from.Name, errSegment, said)
	}
	return cache.Part{Body: answer.Body, Offset: answer.Offset, Total: answer.Size}, nil
}

// differs says why answer is not, from offset on, of the content that first began; empty
// if it is.
func differs(first, answer *upstream.Response, offset int64) string {
	switch {
	case answer.Status != 206:
		return fmt.Sprintf("status %d instead of 206", answer.Status)
	case answer.Offset != offset:
		return fmt.Sprintf("begins at %d instead of %d", answer.Offset, offset)
	case first.ETag != "" && answer.ETag != "" && first.ETag != answer.ETag:
		return "another ETag than the first answer's"
	case first.Digest != "" && answer.Digest != "" && first.Digest != answer.Digest:
		return "another digest than the first answer's"
	}
	return ""
}

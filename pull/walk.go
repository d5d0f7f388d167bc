package pull

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// search is one walk over upstreams in order.
type search struct {
	Query
	order []*catalog.Upstream
	// verified: what is found is proved by its digest, so that the walk may go on past an
	// upstream that is ill. A tag's answer proves nothing: a stranger's would do.
	verified bool
	// known is an upstream that has answered for the repository before, if the caller has
	// that at hand: the index knows others, as long as its state can be asked.
	known *catalog.Upstream
	// pinned: the upstreams in order alone may answer, whatever the registry says. held: there
	// is an answer to fall back on, which is better than a stranger's.
	pinned, held bool
	// missing, if set, is told of each upstream that does not have it, remembered or just
	// asked. If it returns true the walk ends there, as if it were found.
	missing func(u *catalog.Upstream) bool
}

// found is what a walk came back with. Of one that found nothing it has ahead alone.
type found[T any] struct {
	value T
	from  *catalog.Upstream
	// ahead are the upstreams that said "not here" before.
	ahead []string
}

// walk asks the upstreams of s in order until one has it, and returns an *Error when none
// has or when it must not go on: past an upstream that is ill, only the repository's
// origin may answer, never a stranger.
func walk[T any](ctx context.Context, p *Puller, s search, ask func(context.Context, *catalog.Upstream) (T, error)) (found[T], error) {
	said := heard{repository: true}
	for i := 0; i < len(s.order); i++ {
		u := s.order[i]
		err := p.remembered(s, u)
		if err == nil {
			var value T
			if value, err = ask(ctx, u); err == nil {
				p.absences.forget(u, s.Route.Repository, s.Tag)
				return found[T]{value, u, said.ahead}, nil
			}
		}
		v := p.judge(ctx, s, u, err)
		said.answers = append(said.answers, Answer{u.Name, v.said})
		switch v.reason {
		case NotFound, Denied:
			p.note(s, u, v)
			if s.missing != nil && s.missing(u) {
				return found[T]{from: u, ahead: said.ahead}, nil
			}
			said.notHere(u, v)
			continue
		case Refused:
			p.reportRefusal(s, u, err)
			return found[T]{ahead: said.ahead}, s.failed(Refused, said.answers, 0)
		}
		said.ill = s.failed(v.reason, nil, v.retryAfter)
		if ctx.Err() != nil {
			break // nobody else would have the time
		}
		if s.verified || s.Route.Registry.NextOnError && !s.pinned && !s.held && !errors.Is(err, upstream.ErrQueue) {
			continue
		}
		home := p.home(ctx, s)
		if home <= i {
			break
		}
		s.order, i = s.order[:home+1], home-1
	}
	return found[T]{ahead: said.ahead}, said.failure(s)
}

// home is the place in s's order of the one upstream that may answer though one before it is
// ill: where a tag was found before it has to be found again; else the origin may have it.
func (p *Puller) home(ctx context.Context, s search) int {
	home := s.known
	if home == nil {
		if origin, err := p.origin(ctx, s.Route); err == nil {
			home = origin
		}
	}
	return slices.Index(s.order, home)
}

// heard is what the upstreams of a walk have said so far.
type heard struct {
	answers []Answer
	// ahead are those that said "not here". certain: one of them said that it does not
	// exist; repository: all spoke of the whole repository.
	ahead               []string
	certain, repository bool
	// ill is the error of the last one that was.
	ill *Error
}

func (h *heard) notHere(u *catalog.Upstream, v verdict) {
	h.ahead = append(h.ahead, u.ID)
	h.certain = h.certain || v.reason == NotFound
	h.repository = h.repository && v.repository
}

// failure is the error of a walk that found nothing.
func (h *heard) failure(s search) *Error {
	if h.ill != nil {
		h.ill.Answers = h.answers
		return h.ill
	}
	e := s.failed(NotFound, h.answers, 0)
	e.Repository = h.repository
	if !h.certain {
		e.Reason = Denied
	}
	return e
}

// reportRefusal tells of one that a person has to look into: a credential that no longer
// works, or a repository that is not given any more.
func (p *Puller) reportRefusal(s search, u *catalog.Upstream, err error) {
	if !u.Login {
		p.logger.Warn("upstream refuses what it gave before, to anybody", "upstream", u.Name, "repository", s.Route.Repository, "error", err)
		return
	}
	p.metrics.refused(u)
	p.logger.Error("upstream refuses the configured credential", "upstream", u.Name, "repository", s.Route.Repository, "error", err)
}

func (s search) failed(reason Reason, answers []Answer, retryAfter time.Duration) *Error {
	return &Error{Reason: reason, Subject: s.subject(), Answers: answers, RetryAfter: retryAfter}
}

// remembered is what u said lately that answers for s, nil if it has to be asked: of what was
// found there before only an answer about that very thing tells that it is gone.
func (p *Puller) remembered(s search, u *catalog.Upstream) error {
	gone, repository := p.absences.repository(u, s.Route.Repository)
	absent := repository
	if !absent {
		gone, absent = p.absences.tag(u, s.Route.Repository, s.Tag)
	}
	if absent && u != s.known {
		e := &upstream.Error{Upstream: u.Name, Class: upstream.NotHere, Repository: repository, Message: gone.said + " (remembered)"}
		if gone.denied {
			e.Class = upstream.Denied
		}
		return e
	}
	if wait := p.limits.left(u); wait > 0 {
		return limited(u, upstream.RequestLimit, wait)
	}
	return nil
}

// verdict is what an answer means for a walk.
type verdict struct {
	reason     Reason
	said       string
	repository bool
	retryAfter time.Duration
	// status is the HTTP status that decided, 0 if there was none.
	status int
	// html: a web page came. recalled: it was remembered, not asked.
	html, recalled bool
}

// judge says what u's failure means. That u wants fewer requests is all that it remembers;
// note keeps the rest.
func (p *Puller) judge(ctx context.Context, s search, u *catalog.Upstream, err error) verdict {
	if part, ok := errors.AsType[*sourceError](err); ok {
		v := p.judge(ctx, s, part.source, part.err)
		v.said = "its referrers at " + part.source.Name + ": " + v.said
		return v
	}
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		said := "cannot be asked"
		if errors.Is(err, context.DeadlineExceeded) {
			said = "no answer in time"
		}
		p.logger.Warn("upstream could not be asked", "upstream", u.Name, "error", err)
		return verdict{reason: Unavailable, said: said}
	}
	v := verdict{
		said: e.Message, repository: e.Repository, retryAfter: e.RetryAfter,
		status: e.Status, html: e.HTML, recalled: e.Status == 0,
	}
	switch e.Class {
	case upstream.NotHere:
		v.reason = NotFound
	case upstream.Denied:
		v.reason = Denied
		// A repository that was ours to read yesterday did not move elsewhere overnight.
		if !v.recalled && (u == s.known || p.index.Known(ctx, s.at(u))) {
			v.reason = Refused
		}
	case upstream.Refused:
		v.reason = Refused
	case upstream.Limited:
		v.reason = Limited
		p.limits.learn(u, e.Limit, e.RetryAfter)
	case upstream.Looped:
		v.reason = Looped
		p.logger.Error("upstream leads back to who asked", "upstream", u.Name, "error", err)
	default:
		v.reason = Unavailable
		if errors.Is(err, upstream.ErrDown) || errors.Is(err, upstream.ErrQueue) {
			break // the one has been told, the other is no illness
		}
		p.logger.Warn("upstream is ill", "upstream", u.Name, "error", err)
	}
	return v
}

// note remembers an upstream's "not here".
func (p *Puller) note(s search, u *catalog.Upstream, v verdict) {
	what := absence{denied: v.reason == Denied, said: v.said}
	switch {
	case v.recalled: // and not for longer
	case v.html: // a portal or a firewall wrote it; ask again
	case v.repository:
		p.absences.learn(u, s.Route.Repository, "", what)
	case s.Tag != "" && v.status == 404:
		p.absences.learn(u, s.Route.Repository, s.Tag, what)
	}
}

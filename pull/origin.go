package pull

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// origin returns the candidate that the repository is known to come from, nil if there is
// none, or cache.ErrUnread.
func (p *Puller) origin(ctx context.Context, route catalog.Route) (*catalog.Upstream, error) {
	id, err := p.index.Origin(ctx, route.Registry.Name, route.Repository)
	if errors.Is(err, cache.ErrUnread) {
		return nil, err
	}
	for _, u := range route.Candidates {
		if err == nil && u.ID == id {
			return u, nil
		}
	}
	return nil, nil
}

// whole tells whether route leads to all upstreams that its registry has for the repository.
// Only a walk over those tells where it comes from: who names one of them, or a digest, would
// else choose where others' tags come from.
func whole(route catalog.Route) bool {
	return !slices.ContainsFunc(route.Registry.Candidates(route.Repository), func(u *catalog.Upstream) bool {
		return !slices.Contains(route.Candidates, u)
	})
}

// remember makes u, which won a walk for a tag, the repository's origin, unless it has one
// that still stands, or may have.
func (p *Puller) remember(ctx context.Context, route catalog.Route, u *catalog.Upstream) {
	if !whole(route) || slices.Contains(route.Sources, u) {
		return
	}
	held, err := p.origin(ctx, route)
	if err != nil || held == u {
		return
	}
	if held != nil {
		if _, gone := p.absences.repository(held, route.Repository); !gone {
			return
		}
		p.metrics.origin(route.Registry.Name, originFollowed)
		p.logger.Warn("repository changed its origin",
			"registry", route.Registry.Name, "repository", route.Repository, "from", held.Name, "to", u.Name)
	}
	p.index.PutOrigin(ctx, route.Registry.Name, route.Repository, u.ID)
}

// pinned is the upstream that a repository's tags have to come from, nil if any may give
// them, or none has yet. Its error is an *Error: that there is one cannot be ruled out.
func (p *Puller) pinned(ctx context.Context, q Query) (*catalog.Upstream, error) {
	if !q.Route.Registry.PinOrigin || len(q.Route.Registry.Candidates(q.Route.Repository)) < 2 || !whole(q.Route) {
		return nil, nil
	}
	home, err := p.origin(ctx, q.Route)
	if err != nil {
		return nil, search{Query: q}.failed(Unavailable, []Answer{
			{"berth", "the state cannot be read, and so not where the repository comes from, which pin_origin holds it to"},
		}, 0)
	}
	return home, nil
}

// allowed are the upstreams of order that may give q's tag while home is its origin: that
// first, and those that have its signatures.
func allowed(order []*catalog.Upstream, q Query, home *catalog.Upstream) []*catalog.Upstream {
	bound := []*catalog.Upstream{home}
	for _, u := range order {
		if u != home && slices.Contains(q.Route.Sources, u) {
			bound = append(bound, u)
		}
	}
	return bound
}

// suspect looks for q's tag, which its origin home says it has not, at the others, and
// raises the alarm if one has it: they are asked for the sake of that alone. It adds what
// came of it to missing, the *Error of the walk.
func (p *Puller) suspect(q Query, home *catalog.Upstream, missing error) {
	e, ok := errors.AsType[*Error](missing)
	if !ok || e.ill() {
		return
	}
	key := q.Route.Registry.Name + "|" + home.ID + "|" + q.Route.Repository + "|" + q.Tag
	if said, known := p.alarms.begin(key, home.NegativeValidity); known {
		e.Answers = append(e.Answers, said...)
		return
	}
	others := slices.DeleteFunc(slices.Clone(q.Route.Registry.Candidates(q.Route.Repository)), func(u *catalog.Upstream) bool {
		return u == home || slices.Contains(q.Route.Sources, u)
	})
	wait := checkBound
	for _, u := range others {
		wait = min(wait, patience(u))
	}
	done := make(chan []Answer, 1)
	if !p.work.start(func(ctx context.Context) {
		said := p.strangers(ctx, q, home, others)
		p.alarms.end(key, said)
		done <- said
	}) {
		return
	}
	select {
	case said := <-done:
		e.Answers = append(e.Answers, said...)
	case <-time.After(wait): // the alarm is raised all the same
	}
}

// strangers raises the alarm for each of others that has q's tag, whose origin is home, and
// says so. By HEAD, since that costs no pull at Docker Hub.
func (p *Puller) strangers(ctx context.Context, q Query, home *catalog.Upstream, others []*catalog.Upstream) []Answer {
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	var said []Answer
	for _, u := range others {
		if p.remembered(search{Query: q}, u) != nil {
			continue
		}
		head, err := p.ask(ctx, u, upstream.Request{
			Method: "HEAD", Kind: upstream.KindManifest, Repository: q.Route.Repository, Reference: q.Tag, Check: true, Through: q.Through,
		})
		if e, ok := errors.AsType[*upstream.Error](err); ok && e.Class == upstream.Limited {
			p.limits.learn(u, e.Limit, e.RetryAfter)
		}
		if err != nil || !known(head.MediaType) {
			continue
		}
		p.metrics.origin(q.Route.Registry.Name, originRefused)
		p.logger.Warn("tag of another upstream refused, the repository is pinned to its origin",
			"registry", q.Route.Registry.Name, "repository", q.Route.Repository, "tag", q.Tag, "origin", home.Name, "upstream", u.Name)
		said = append(said, Answer{u.Name, "not taken from here: the repository comes from " + home.Name + ", and pin_origin is set"})
	}
	return said
}

// alarms remembers for which tags strangers were asked lately, and what came of it.
type alarms struct {
	known *otter.Cache[string, alarm]
}

type alarm struct {
	until time.Time
	said  []Answer
}

func newAlarms() *alarms {
	return &alarms{known: otter.Must(&otter.Options[string, alarm]{MaximumSize: 10_000})}
}

func (a *alarms) close() { a.known.StopAllGoroutines() }

// begin returns what came of the last time, or has the caller ask, and nobody else for as
// long as validity.
func (a *alarms) begin(key string, validity time.Duration) (said []Answer, known bool) {
	a.known.Compute(key, func(old alarm, found bool) (alarm, otter.ComputeOp) {
		if known = found && time.Now().Before(old.until); known {
			said = old.said
			return old, otter.CancelOp
		}
		return alarm{until: later(time.Now(), validity)}, otter.WriteOp
	})
	return said, known
}

// end notes what came of it.
func (a *alarms) end(key string, said []Answer) {
	a.known.ComputeIfPresent(key, func(old alarm) (alarm, otter.ComputeOp) {
		old.said = said
		return old, otter.WriteOp
	})
}

package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/catalog"
)

// Manifest answers for a manifest. It returns an *Error, or the context's error.
func (p *Puller) Manifest(ctx context.Context, q Query) (*Manifest, error) {
	if q.Tag == "" {
		return p.byDigest(ctx, q, nil)
	}
	if len(q.Route.Sources) > 0 && signature(q.Tag) {
		q.Route.Candidates = slices.Concat(q.Route.Candidates, q.Route.Sources)
	}
	at, known := p.lookup(ctx, q)
	if known && at.fresh(q.Tag) {
		m, err := p.pointed(ctx, q, resolved{pointed: at, outcome: Hit})
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != NotFound && e.Reason != Denied {
			return m, err
		}
		// The tag moved on upstream and what it pointed to is gone there: look again.
	}
	held := known && p.holds(ctx, at.pointer.Digest)
	r, err := p.resolve(ctx, q, at, held)
	if err == nil {
		return p.pointed(ctx, q, r)
	}
	if !known { // what they said may have made it an answer
		at, known = p.lookup(ctx, q)
		held = known && p.holds(ctx, at.pointer.Digest)
	}
	stale, ok := at.stale(err)
	if held && ok {
		return p.pointed(ctx, q, stale)
	}
	err = late(ctx, q, at.from, err)
	if e, isPull := errors.AsType[*Error](err); isPull && held && e.ill() {
		own := *e
		own.Answers = append(slices.Clone(e.Answers), Answer{"berth", fmt.Sprintf(
			"holds a copy, which %s last confirmed %s ago: longer than it may be served for", at.from.Name, at.age().Round(time.Second))})
		return nil, &own
	}
	return nil, err
}

// late puts the end of a wait for u that we bounded, not the client, into this package's
// terms: what was held became too old to be served while we waited.
func late(ctx context.Context, q Query, u *catalog.Upstream, err error) error {
	if u == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return search{Query: q}.failed(Unavailable, []Answer{{u.Name, "no answer in time"}}, 0)
}

// lookup finds the first candidate that the tag is known at, as far as that counts on the way
// that q takes.
func (p *Puller) lookup(ctx context.Context, q Query) (pointed, bool) {
	order := q.Route.Candidates
	if home, err := p.pinned(ctx, q); err == nil && home != nil {
		order = allowed(order, q, home) // others are of the time before it was pinned
	}
	for i, u := range order {
		if pointer, err := p.index.Pointer(ctx, q.at(u), q.Tag); err == nil {
			if at := (pointed{u, pointer}); at.counts(q.Route.Registry, order[:i]) {
				return at, true
			}
		}
	}
	return pointed{}, false
}

// holds tells whether the content of d is here.
func (p *Puller) holds(ctx context.Context, d digest.Digest) bool {
	_, err := p.contents.Stat(ctx, d)
	return err == nil
}

// pointed answers with what r points to.
func (p *Puller) pointed(ctx context.Context, q Query, r resolved) (*Manifest, error) {
	m := &Manifest{Digest: r.pointer.Digest, MediaType: r.pointer.MediaType, Size: r.pointer.Size, Body: r.body}
	m.Origin = Origin{Upstream: r.from.Name, Outcome: r.outcome, Detail: r.detail, Age: r.age()}
	if q.Head {
		m.Body = nil
		return m, nil
	}
	if m.Body != nil {
		return m, nil
	}
	q.Digest, q.Tag = r.pointer.Digest, ""
	got, err := p.byDigest(ctx, q, r.from)
	if err != nil {
		return nil, err
	}
	if got.Outcome == Hit {
		got.Outcome = r.outcome
	}
	got.Detail, got.Age = r.detail, r.age()
	return got, nil
}

// resolve asks the upstreams where q's tag points. While we hold what it pointed to, a
// client waits no longer than checkBound for that; the check goes on behind.
func (p *Puller) resolve(ctx context.Context, q Query, at pointed, held bool) (resolved, error) {
	mode := "ask"
	if held {
		mode, q.Head = "check", false // one check serves GET and HEAD
	}
	fl := p.tags.check(q.key(mode), patience(at.from), func(ctx context.Context) (resolved, error) {
		ctx, cancel := context.WithTimeout(ctx, askBound)
		defer cancel()
		// Another flight may have landed between our look and the start of this one.
		if now, ok := p.lookup(ctx, q); ok && now.pointer.Checked.After(at.pointer.Checked) && now.fresh(q.Tag) {
			return resolved{pointed: now, outcome: Hit}, nil
		}
		return p.find(ctx, tagSearch{Query: q, last: at, held: held})
	})
	defer fl.leave()
	if held {
		if _, ok := at.stale(nil); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, fl.until)
			defer cancel()
		}
	}
	return fl.wait(ctx)
}

// patience is how long a client with something to fall back on waits for u, which may be
// nil. It is to be asked before the work begins, which may take the last place itself.
func patience(u *catalog.Upstream) time.Duration {
	if u == nil {
		return checkBound
	}
	if client, ok := u.Client.(Upstream); ok && client.Ailing() {
		return ailingBound
	}
	return checkBound
}

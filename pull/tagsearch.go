package pull

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
)

// tagSearch is the search for where a tag points.
type tagSearch struct {
	Query
	// last is what is known of the tag, held that what it pointed to is here.
	last pointed
	held bool
	// gone: last's upstream has it no more; kept: what is held is served all the same.
	gone, kept bool
}

// find walks the candidates for a tag and moves the pointer.
func (p *Puller) find(ctx context.Context, t tagSearch) (resolved, error) {
	home, err := p.pinned(ctx, t.Query)
	if err != nil {
		return resolved{}, err
	}
	order := t.order()
	if home != nil {
		order = allowed(order, t.Query, home)
	}
	_, stale := t.last.stale(nil)
	s := search{Query: t.Query, order: order, known: t.last.from, pinned: home != nil, held: t.held && stale, missing: t.missing}
	got, err := walk(ctx, p, s, func(ctx context.Context, u *catalog.Upstream) (answeredTag, error) {
		return p.askTag(ctx, u, t.Query, t.lastSeen(u))
	})
	if t.kept {
		r := resolved{pointed: t.last, outcome: Stale, detail: "deleted-upstream"}
		r.pointer.Checked = time.Now()
		p.index.PutPointer(ctx, t.at(r.from), t.Tag, r.pointer)
		return r, nil
	}
	if t.gone {
		p.index.DropPointer(ctx, t.at(t.last.from), t.Tag)
	}
	if err != nil {
		p.behind(ctx, t, got.ahead)
		if home != nil {
			p.suspect(t.Query, home, err)
		}
		return resolved{}, t.final(err)
	}
	pointer := got.value.pointer
	pointer.Checked = time.Now()
	pointer.Ahead, pointer.Registries = p.ways(ctx, t.Query, got)
	r := resolved{pointed: pointed{got.from, pointer}, outcome: Miss, body: got.value.body}
	r, moves, err := p.take(ctx, t, r)
	if err != nil {
		return resolved{}, t.final(err)
	}
	if moves {
		var wait sync.WaitGroup // side by side, as a state that hangs takes a second for each
		wait.Go(func() { p.remember(ctx, t.Route, r.from) })
		p.index.PutPointer(ctx, t.at(r.from), t.Tag, r.pointer)
		wait.Wait()
	}
	return r, nil
}

// take brings in what r says that the tag moved to, and tells r's outcome and whether the
// pointer moves as well.
func (p *Puller) take(ctx context.Context, t tagSearch, r resolved) (_ resolved, moves bool, err error) {
	switch {
	case t.held && r.from == t.last.from && r.pointer.Digest == t.last.pointer.Digest:
		r.outcome = Unchanged
	case t.held:
		if r.body, err = p.renew(ctx, t.Query, t.last, r); err != nil {
			return resolved{}, false, err
		}
		r.outcome = Changed
		if !p.renewed(ctx, t.last, r) {
			r.outcome = Unstored
			// It stays at what we hold, unless that is gone: the new may be out of reach the next time.
			return r, t.gone, nil
		}
	case r.body != nil && !p.holds(ctx, r.pointer.Digest):
		r.outcome = Unstored
	}
	return r, true, nil
}

// ways are those that lead to the upstream where a tag was found: the one that q came, and
// those that were known. Registries that share it do not undo what the other knows.
func (p *Puller) ways(ctx context.Context, q Query, got found[answeredTag]) (ahead, registries []string) {
	known, err := p.index.Pointer(ctx, q.at(got.from), q.Tag)
	if err != nil {
		known = cache.Pointer{}
	}
	return union(known.Ahead, got.ahead), union(known.Registries, q.ways())
}

// ways is the registry, if all its upstreams are asked.
func (q Query) ways() []string {
	if !whole(q.Route) {
		return nil
	}
	return []string{q.Route.Registry.Name}
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// behind notes who said "not here", in vain, with what others know of the next upstream, so
// that it counts for those who asked.
func (p *Puller) behind(ctx context.Context, t tagSearch, ahead []string) {
	if t.last.from != nil || len(ahead) == 0 {
		return
	}
	for _, u := range t.Route.Candidates {
		if slices.Contains(ahead, u.ID) {
			continue
		}
		if known, err := p.index.Pointer(ctx, t.at(u), t.Tag); err == nil {
			known.Ahead = union(known.Ahead, ahead)
			p.index.PutPointer(ctx, t.at(u), t.Tag, known)
		}
		return
	}
}

// missing notes that u does not have the tag, and ends the walk if what is held is kept.
func (t *tagSearch) missing(u *catalog.Upstream) bool {
	t.gone = t.gone || u == t.last.from
	t.kept = u == t.last.from && t.held && u.KeepDeleted
	return t.kept
}

// final marks err, if the tag's own upstream said that the tag is gone: then what we hold
// is no answer, even if the others could not be asked.
func (t *tagSearch) final(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && t.gone {
		e.gone = true
	}
	return err
}

// lastSeen is what we hold of the tag, for the upstream u to confirm: nil when nothing is,
// and empty when what we hold is from another upstream.
func (t *tagSearch) lastSeen(u *catalog.Upstream) *cache.Pointer {
	switch {
	case !t.held:
		return nil
	case u != t.last.from:
		return &cache.Pointer{}
	}
	return &t.last.pointer
}

// order is the candidates in the order to ask: those who did not have the tag before are
// not asked again ahead of the one that has it, unless there is a new one among them.
func (t *tagSearch) order() []*catalog.Upstream {
	all := t.Route.Candidates
	i := slices.Index(all, t.last.from) // -1 where nothing is known
	if i < 0 || !t.last.behind(all[:i]) {
		return all
	}
	return slices.Concat(all[i:i+1], all[:i], all[i+1:])
}

package pull

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// listing is one page of a list, wherever it comes from.
type listing struct {
	cache.List
	Origin
}

// page names one page of a list: what is asked upstream, and the name under which the
// answer is kept.
type page struct {
	Query
	name string
	// ask gets the page from one upstream; its error is an *upstream.Error. held: there is a
	// page to fall back on.
	ask func(ctx context.Context, u *catalog.Upstream, held bool) (cache.List, error)
	// parts, if set, is from where else a part of u's page comes; nil if all is u's.
	parts func(u *catalog.Upstream) *catalog.Upstream
}

// patience is how long a client waits for a page that u, which may be nil, gave before to
// be renewed.
func (pg page) patience(u *catalog.Upstream) time.Duration {
	wait := patience(u)
	if u != nil && pg.parts != nil {
		if source := pg.parts(u); source != nil {
			wait = min(wait, patience(source))
		}
	}
	return wait
}

// list answers with a page whole from one upstream: the repository's origin, or the first
// candidate that knows the repository. Lists of several are never merged. A page that is
// still valid costs no request; one that cannot be renewed is served as long as a tag
// would be.
func (p *Puller) list(ctx context.Context, pg page) (listing, error) {
	order := pg.Route.Candidates
	if len(order) > 1 {
		if origin, err := p.origin(ctx, pg.Route); err == nil && origin != nil {
			order = []*catalog.Upstream{origin}
		}
	}
	held, at := p.heldPage(pg, order)
	from := at.from
	if from != nil && (from.ListValidity == catalog.Forever || at.age() < from.ListValidity) {
		return listing{held, Origin{Upstream: from.Name, Outcome: Hit, Age: at.age()}}, nil
	}
	_, usable := at.stale(nil)
	fl := p.lists.check(pg.key(pg.name), pg.patience(from), func(ctx context.Context) (listing, error) {
		ctx, cancel := context.WithTimeout(ctx, askBound)
		defer cancel()
		home, err := p.pinned(ctx, pg.Query)
		if err != nil {
			return listing{}, err
		}
		got, err := walk(ctx, p, search{Query: pg.Query, order: order, known: from, pinned: home != nil},
			func(ctx context.Context, u *catalog.Upstream) (cache.List, error) { return pg.ask(ctx, u, usable) })
		if err != nil {
			return listing{}, err
		}
		got.value.Checked = time.Now()
		got.value.Registries = p.listWays(pg, got.from)
		p.index.PutList(pg.at(got.from), pg.name, got.value)
		return listing{got.value, Origin{Upstream: got.from.Name, Outcome: Miss}}, nil
	})
	defer fl.leave()
	wait := ctx
	if usable {
		var cancel context.CancelFunc
		wait, cancel = context.WithDeadline(ctx, fl.until)
		defer cancel()
	}
	got, err := fl.wait(wait)
	if err == nil {
		return got, nil
	}
	if stale, ok := at.stale(err); ok && ctx.Err() == nil {
		return listing{held, Origin{Upstream: from.Name, Outcome: Stale, Detail: stale.detail, Age: at.age()}}, nil
	}
	return listing{}, late(ctx, pg.Query, from, err)
}

// heldPage is the page as the first upstream gave it that is known to have it: the first to
// be asked, or one that the registry was led to. Another may come after one that has it too.
func (p *Puller) heldPage(pg page, order []*catalog.Upstream) (cache.List, pointed) {
	for i, u := range order {
		if l, err := p.index.List(pg.at(u), pg.name); err == nil {
			at := pointed{u, cache.Pointer{Checked: l.Checked, Registries: l.Registries}}
			if at.counts(pg.Route.Registry, order[:i]) {
				return l, at
			}
		}
	}
	return cache.List{}, pointed{}
}

// listWays are the registries that lead to u's page.
func (p *Puller) listWays(pg page, u *catalog.Upstream) []string {
	known, err := p.index.List(pg.at(u), pg.name)
	if err != nil {
		known = cache.List{}
	}
	return union(known.Registries, pg.ways())
}

// readList asks u for a list and reads all of it.
func (p *Puller) readList(ctx context.Context, u *catalog.Upstream, r upstream.Request) (cache.List, error) {
	r.Method = "GET"
	answer, err := p.ask(ctx, u, r)
	if err != nil {
		return cache.List{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return cache.List{}, listBroken(u, err)
	}
	return cache.List{Body: body, MediaType: answer.MediaType, Next: answer.Next, Filters: answer.FiltersApplied}, nil
}

func listBroken(u *catalog.Upstream, err error) error {
	if e, ok := errors.AsType[*upstream.Error](err); ok {
		return e
	}
	said := "sent a list that cannot be read"
	switch {
	case errors.Is(err, upstream.ErrTooLarge):
		said = "sent a list that is larger than allowed"
	case errors.Is(err, io.ErrUnexpectedEOF):
		said = "sent less of a list than it announced"
	}
	return &upstream.Error{Upstream: u.Name, Op: "read list", Class: upstream.Unavailable, Message: said, Err: err}
}

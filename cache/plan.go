package cache

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// claim is a stretch of content that one connection is to fetch. from is the next byte,
// which only the holder changes, with the plan's mutex held; to is where it ends.
type claim struct {
	span
	// open: the connection delivers what comes after to as well. Such a claim grows, and to
	// is the plan's to know.
	open bool

	// The plan's mutex guards what is below.

	// began: a byte came, and is about to be kept.
	began bool
	// overtaken: another has what was claimed.
	overtaken bool
	moved     time.Time
	revoke    context.CancelCauseFunc // ends the request; may be nil
}

// plan says who fetches what of a content, so that no two fetch, or write, the same.
type plan struct {
	// mu guards everything below and what claims say it does.
	mu sync.Mutex
	// total is the content's size in bytes, -1 while unknown. Until then there is one claim
	// at most, which is open.
	total int64
	// taken is what has come or is claimed.
	taken  spans
	claims []*claim
	// stretch is how much is claimed at a time, in bytes; an open claim has lead times as
	// much before it.
	stretch, lead int64
	// ended is made by who waits for the end of a claim.
	ended chan struct{}
}

func newPlan() *plan { return &plan{total: -1, stretch: math.MaxInt64 / 8, lead: 1} }

// know tells how many bytes there are. What was claimed without an end grows from now on.
func (p *plan) know(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
	for _, c := range p.claims {
		c.to = c.from
		p.grow(c)
	}
}

// divide leaves what is further ahead than stretch to others; the open claim, which its
// holder calls this for, grows anew.
func (p *plan) divide(stretch int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stretch, p.lead = stretch, 1
	for _, c := range p.claims {
		if c.open {
			p.taken.remove(c.span)
			c.to = c.from
			p.grow(c)
		}
	}
}

// pace sets how much is claimed at a time from now on.
func (p *plan) pace(stretch int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stretch = stretch
}

// first claims from the first gap on. It waits while there is none and somebody else may
// yet leave one, and returns nil without an error when everything has come. An open claim
// is for a connection without an end; room lets it grow.
func (p *plan) first(ctx context.Context, open bool) (*claim, error) {
	for {
		p.mu.Lock()
		missing := p.missing()
		if missing && ctx.Err() == nil {
			if c := p.take(0, open); c != nil {
				p.mu.Unlock()
				return c, nil
			}
		}
		if p.ended == nil {
			p.ended = make(chan struct{})
		}
		ended := p.ended
		p.mu.Unlock()
		if !missing {
			return nil, nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// missing tells whether anything has yet to come. mu is held.
func (p *plan) missing() bool {
	return len(p.claims) > 0 || p.total < 0 || p.taken.bytes() < p.total
}

// ahead claims the first gap, or rather the first of the wanted positions that nobody has;
// nil if there is none. With only, it claims nothing but those.
func (p *plan) ahead(wanted []int64, only bool) *claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pos := range wanted {
		if pos < p.total && p.taken.end(pos) == pos {
			return p.take(pos, false)
		}
	}
	if only {
		return nil
	}
	for _, c := range p.claims {
		if c.open {
			p.grow(c) // what it has before it is its own
		}
	}
	return p.take(0, false)
}

// take claims from the first gap at or after pos. mu is held.
func (p *plan) take(pos int64, open bool) *claim {
	gap := p.taken.gap(pos)
	if p.total >= 0 {
		gap.to = min(gap.to, p.total)
	}
	if gap.from >= gap.to {
		return nil
	}
	c := &claim{span: span{gap.from, gap.from}, open: open, moved: time.Now()}
	p.claims = append(p.claims, c)
	p.grow(c)
	return c
}

// grow claims one stretch from where c stands, as far as nobody else has it. mu is held.
func (p *plan) grow(c *claim) {
	if p.total < 0 {
		c.to = math.MaxInt64
		return
	}
	if gap := p.taken.gap(c.to); gap.from == c.to {
		to := c.from + p.stretch
		if c.open {
			to = c.from + p.stretch*p.lead
		}
		to = min(to, gap.to, p.total)
		p.taken.add(span{c.to, to})
		c.to = max(c.to, to)
	}
}

// room returns how many bytes c may take now, letting it grow if it is open. It takes
// what follows from a connection that has not delivered a byte yet: to close one that
// delivers in favour of one that may never is no gain. The next such has longer.
func (p *plan) room(c *claim) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.open {
		return c.to - c.from
	}
	p.grow(c)
	if c.from < c.to {
		return c.to - c.from
	}
	for i, other := range p.claims {
		if other.from == c.to && other != c && !other.began {
			p.claims = slices.Delete(p.claims, i, i+1)
			p.taken.remove(other.span)
			other.overtaken = true
			if other.revoke != nil {
				other.revoke(errOvertaken)
			}
			p.lead *= 2
			p.grow(c)
			break
		}
	}
	return c.to - c.from
}

// bind tells what ends the request for c.
func (p *plan) bind(c *claim, revoke context.CancelCauseFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.revoke = revoke
	if c.overtaken {
		revoke(errOvertaken)
	}
}

// begin says that the holder of c is about to keep bytes; false if it was overtaken.
func (p *plan) begin(c *claim) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.began = c.began || !c.overtaken
	return c.began
}

// fate tells whether a byte came for c, and whether somebody overtook it before.
func (p *plan) fate(c *claim) (began, overtaken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.began, c.overtaken
}

// advance tells that n bytes were kept for c.
func (p *plan) advance(c *claim, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := span{c.from, c.from + int64(n)}
	p.taken.add(kept)
	c.from, c.moved = kept.to, time.Now()
}

// end gives back what is left of c.
func (p *plan) end(c *claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.overtaken {
		p.taken.remove(c.span)
		p.claims = slices.DeleteFunc(p.claims, func(other *claim) bool { return other == c })
	}
	if p.ended != nil {
		close(p.ended)
		p.ended = nil
	}
}

// hurry revokes the claims of stretches that had no byte for patience. An open one is the
// fill's own, whose source decides when it has waited too long.
func (p *plan) hurry(patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.claims {
		if !c.open && c.revoke != nil && time.Since(c.moved) >= patience {
			c.revoke(errSlow)
		}
	}
}

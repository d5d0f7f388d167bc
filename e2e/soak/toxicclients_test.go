package soak_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/origin"
	"github.com/berth-cache/berth/e2e/soak/toxic"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

const (
	toxicClients = 50
	// heldWithin is Berth's four seconds, and some for a busy machine.
	heldWithin = 4*time.Second + 3*time.Second
	// knownWithin is a small part of that, and many times what it should be.
	knownWithin = time.Second
	// perTag and perBlob are the most requests that one wish may cost at an upstream: three
	// tries, and for a blob that as often as it may break. Each may need a token, which is
	// three tries more, and a redirect.
	perTag  = 3
	perBlob = 4 * 3
)

// errPatience is why a client leaves.
var errPatience = errors.New("the client has waited for long enough")

// harbour is an upstream, the link to it, and its clients.
type harbour struct {
	*origin.Origin
	link *toxic.Link
	load *load.Load
	// held is what Berth holds all of. Nobody asks for what is spare until the upstream is
	// known to be dead: no check of it is under way then.
	held, spare []shipped

	// mu guards what is below.
	mu      sync.Mutex
	cold    []shipped
	log     log
	before  log // of the upstream
	allowed int // requests at the upstream, at most
	sum     log
}

// shipped is an image that is somewhere, by some tag.
type shipped struct {
	truth.Place
	truth.Image
	tag string
}

// log is what came of a course.
type log struct {
	pulls, right, refused, cut, left, stale int
	slowest                                 time.Duration // of what is held
	requests, connections                   int           // upstream
	took                                    time.Duration
}

func (log) head() string {
	return fmt.Sprintf("%6s %6s %7s %5s %5s %6s %8s %9s %6s %8s", "pulls", "right", "refused", "cut", "left", "stale", "slowest", "upstream:", "conns", "took")
}

func (l log) String() string {
	return fmt.Sprintf("%6d %6d %7d %5d %5d %6d %8s %9d %6d %8s", l.pulls, l.right, l.refused, l.cut, l.left, l.stale, l.slowest.Round(time.Millisecond), l.requests, l.connections, l.took.Round(10*time.Millisecond))
}

func (l log) plus(o log) log {
	return log{
		l.pulls + o.pulls, l.right + o.right, l.refused + o.refused, l.cut + o.cut, l.left + o.left, l.stale + o.stale,
		max(l.slowest, o.slowest), l.requests + o.requests, l.connections + o.connections, l.took + o.took,
	}
}

// hold has Berth hold all of a place.
func (p *harbour) hold(t *testing.T, place truth.Place) {
	t.Helper()
	for i := range 4 {
		s := shipped{place, place.Versions(fmt.Sprintf("v%d", i))[0], fmt.Sprintf("v%d", i)}
		if ending, detail := p.load.Pull(t.Context(), s.Place, s.tag, s.Image); ending != load.Right {
			t.Fatalf("before anything: %s: %s", ending, detail)
		}
		if i < 3 {
			p.held = append(p.held, s)
		} else {
			p.spare = append(p.spare, s)
		}
	}
}

// set begins a course.
func (p *harbour) set(t *testing.T, w toxic.Weather) {
	t.Helper()
	p.Asked()
	p.before = log{requests: int(p.Requests()), connections: p.Connections()}
	p.link.Turn(t, w)
}

// close ends a course.
func (p *harbour) close() log {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.log
	l.requests, l.connections = int(p.Requests())-p.before.requests, p.Connections()-p.before.connections
	p.sum, p.log, p.cold, p.allowed = p.sum.plus(l), log{}, nil, 0
	return l
}

func (c *coast) total() log {
	var sum log
	for _, p := range c.ports {
		sum = sum.plus(p.sum)
	}
	return sum
}

// byMany has all clients do something, each with luck of its own.
func (c *coast) byMany(do func(*rand.Rand)) {
	var clients sync.WaitGroup
	for range toxicClients {
		random := rand.New(rand.NewPCG(c.random.Uint64(), 0))
		clients.Go(func() { do(random) })
	}
	clients.Wait()
}

// mixed is a mixture of held and cold, by tag and by digest, whole and in part, from every
// upstream.
func (c *coast) mixed(t *testing.T) {
	t.Helper()
	for _, p := range c.ports {
		for range 6 {
			place, image := c.library.ColdAt(c.random, p.Name)
			p.cold = append(p.cold, shipped{place, image, "v0"})
		}
	}
	each := of(6, 15)
	c.byMany(func(random *rand.Rand) {
		for range each {
			p := c.ports[random.IntN(len(c.ports))]
			if random.IntN(3) == 0 {
				p.pullCold(t, random)
			} else {
				p.pullHeld(t, random, p.held)
			}
		}
	})
}

// pullHeld pulls something of what is held, which never fails and never takes long. It returns
// how long the manifest took.
func (p *harbour) pullHeld(t *testing.T, random *rand.Rand, held []shipped) time.Duration {
	t.Helper()
	s := held[random.IntN(len(held))]
	reference := s.tag
	if random.IntN(4) == 0 {
		reference = s.Digest.String()
	}
	p.allow(perTag)
	began := time.Now()
	ending, detail, status := p.load.Manifest(t.Context(), s.Place, reference, s.Image)
	took := time.Since(began)
	if ending == load.Right && random.IntN(4) == 0 {
		ending, detail = p.load.Range(t.Context(), random, s.Place, s.Blobs[len(s.Blobs)-1])
	} else if ending == load.Right {
		ending, detail = p.load.Pull(t.Context(), s.Place, s.Digest.String(), s.Image)
	}
	if ending != load.Right || took > heldWithin {
		t.Errorf("%s, %s: held %s:%s after %s: %s: %s", p.Name, p.link.Weather(), s.Name, reference, took, ending, detail)
	}
	stale := strings.Contains(status, "fwd=stale") && !strings.Contains(status, "detail=confirmed")
	p.count(func(l *log) {
		l.slowest = max(l.slowest, took)
		if stale {
			l.stale++
		}
	}, ending, detail)
	return took
}

// pullCold pulls something that came with this course, which others pull as well. Where the
// weather is hard it need not come.
func (p *harbour) pullCold(t *testing.T, random *rand.Rand) {
	t.Helper()
	s := p.cold[random.IntN(len(p.cold))]
	w := p.link.Weather()
	ctx := t.Context()
	if w.Hard {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(of(1, 10))*time.Second, errPatience)
		defer cancel()
	}
	p.allow(perTag + perBlob*len(s.Blobs))
	var ending load.Ending
	var detail string
	switch random.IntN(4) {
	case 0:
		ending, detail = p.load.Pull(ctx, s.Place, s.Digest.String(), s.Image)
	case 1:
		ending, detail = p.load.Range(ctx, random, s.Place, s.Blobs[len(s.Blobs)-1])
	default:
		ending, detail = p.load.Pull(ctx, s.Place, s.tag, s.Image)
	}
	if ending == load.Wrong || ending == load.Unproven || ending != load.Right && !w.Hard {
		t.Errorf("%s, %s: cold %s: %s: %s", p.Name, w, s.Name, ending, detail)
	}
	p.count(func(*log) {}, ending, detail)
}

func (p *harbour) count(more func(*log), ending load.Ending, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.pulls++
	switch {
	case ending == load.Right:
		p.log.right++
	case ending == load.Refused:
		p.log.refused++
	case strings.Contains(detail, errPatience.Error()) || strings.Contains(detail, context.DeadlineExceeded.Error()):
		p.log.left++
	default:
		p.log.cut++
	}
	more(&p.log)
}

// allow adds to what the upstream may be asked.
func (p *harbour) allow(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed += n
}

// wantModest wants the upstream to have been asked for no more than what it takes: where all
// answers come, for each thing once, and for each tag once a second.
func (p *harbour) wantModest(t *testing.T, took time.Duration) {
	t.Helper()
	w := p.link.Weather()
	allowed := p.allowed
	if p.Tokens() {
		allowed *= 2 * 4
	}
	if n := int(p.Requests()) - p.before.requests; n > allowed {
		t.Errorf("%s, %s: %d requests, want %d at most", p.Name, w, n, allowed)
	}
	checks := int(took/time.Second) + 2
	for line, n := range p.Asked() {
		switch most := 1; {
		case w.Hard:
		case strings.HasPrefix(line, "HEAD") && n > checks:
			t.Errorf("%s, %s: %s %d times in %s", p.Name, w, line, n, took)
		case strings.HasPrefix(line, "GET") && n > most:
			t.Errorf("%s, %s: %s %d times", p.Name, w, line, n)
		}
	}
}

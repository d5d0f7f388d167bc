package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

// errChaos is what a source says of its own accord.
var errChaos = errors.New("source in chaos")

// dice are thrown by all goroutines of a bubble.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, 0))} }

// below throws a number from 0 up to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) oneIn(n int) bool { return d.below(n) == 0 }

// upTo throws a time, in milliseconds.
func (d *dice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.below(int(most.Milliseconds()))) * time.Millisecond
}

// chaosOrigin is where sources of one content have it from, and what they are like.
type chaosOrigin struct {
	*dice
	content storetest.Content
	// honest ones do nothing that a source may not do. wrong ones have another content of
	// the same size.
	honest, wrong bool
	// sizeless ones do not tell the size, rangeless ones begin earlier than they were asked to.
	sizeless, rangeless bool
	latency             time.Duration
	lanes               *cache.Lanes
	// open counts the sources and bodies that are not closed yet.
	open *atomic.Int64
}

// newChaosOrigin makes the i-th of a bubble, which has another size than the others. One in
// three is honest, one in six wrong.
func newChaosOrigin(i int, d *dice, lanes *cache.Lanes, open *atomic.Int64) *chaosOrigin {
	size := []int{0, 0, 100, 5000, 140_000, 300_000, 900_000, 2_500_000}[i%8] + i
	o := &chaosOrigin{
		dice: d, content: storetest.Random(uint64(i), size), honest: i%3 == 0, wrong: i%6 == 1,
		sizeless: d.oneIn(4), rangeless: d.oneIn(4), latency: d.upTo(500 * time.Millisecond), open: open,
	}
	if !d.oneIn(3) {
		o.lanes = lanes
	}
	return o
}

// source makes a source of the given places.
func (o *chaosOrigin) source(places string) *chaosSource {
	o.open.Add(1)
	return &chaosSource{chaosOrigin: o, places: places}
}

type chaosSource struct {
	*chaosOrigin
	places string
	closed atomic.Bool
}

var _ cache.Copier = (*chaosSource)(nil)

func (s *chaosSource) Copy() cache.Source { return s.source(s.places) }
func (s *chaosSource) Places() string     { return s.places }

func (s *chaosSource) Close() error {
	if s.closed.Swap(true) {
		panic("source closed twice")
	}
	s.open.Add(-1)
	return nil
}

func (s *chaosSource) Open(ctx context.Context, offset, length int64) (cache.Part, error) {
	if err := pause(ctx, s.upTo(200*time.Millisecond)+s.latency); err != nil {
		return cache.Part{}, err
	}
	if !s.honest && s.oneIn(12) {
		return cache.Part{}, errChaos
	}
	b := s.content.Bytes
	if s.wrong {
		b = bytes.Clone(b)
		b[s.below(len(b))] ^= 0x55
	}
	part := cache.Part{Offset: offset, Total: int64(len(b)), Lanes: s.lanes}
	end := part.Total
	if length >= 0 {
		end = offset + length
	} else if s.rangeless && offset > 0 {
		part.Offset = int64(s.below(int(offset)))
	}
	if s.sizeless {
		part.Total, part.Lanes = -1, nil
	}
	if !s.honest {
		end = s.lie(&part, length, end)
	}
	if end = min(end, int64(len(b))); part.Offset > end {
		return cache.Part{}, errChaos // it lied before about how much there is
	}
	part.Body = s.body(ctx, b[part.Offset:end])
	return part, nil
}

// lie makes little of what part says untrue, and returns where its bytes end.
func (s *chaosSource) lie(part *cache.Part, length, end int64) int64 {
	// A wrong content that seems to be a longer one may be read up to its own size.
	if s.wrong {
		return end
	}
	switch s.below(20) {
	case 0:
		end++
	case 1:
		part.Total++
	case 2:
		part.Total = max(-1, part.Total-1)
	case 3:
		if length >= 0 {
			part.Offset = max(0, part.Offset-1)
		}
	case 4:
		part.Lanes = nil
	}
	return end
}

// body is what delivers b, with a break or a stall in it unless the source is honest.
func (s *chaosSource) body(ctx context.Context, b []byte) *chaosBody {
	s.open.Add(1)
	body := &chaosBody{source: s, ctx: ctx, rest: b, fault: -1}
	if !s.honest && s.oneIn(4) {
		body.fault, body.stalls = s.below(len(b)+1), s.oneIn(4)
	}
	return body
}

type chaosBody struct {
	source *chaosSource
	ctx    context.Context
	rest   []byte
	// fault is how many bytes come before it breaks off, or with stalls stalls; -1 is all.
	fault  int
	stalls bool
	closed bool
}

func (b *chaosBody) Read(p []byte) (int, error) {
	if b.fault == 0 && b.stalls {
		if err := pause(b.ctx, 40*time.Second); err != nil {
			return 0, err
		}
	}
	if b.fault == 0 {
		return 0, errChaos
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	if err := pause(b.ctx, beat); err != nil {
		return 0, err
	}
	n := min(len(p), len(b.rest), 1+b.source.below(64<<10))
	if b.fault > 0 {
		n = min(n, b.fault)
		b.fault -= n
	}
	copy(p, b.rest[:n])
	b.rest = b.rest[n:]
	if len(b.rest) == 0 && b.fault < 0 && b.source.oneIn(2) {
		return n, io.EOF
	}
	return n, nil
}

func (b *chaosBody) Close() error {
	if !b.closed {
		b.closed = true
		b.source.open.Add(-1)
	}
	return nil
}

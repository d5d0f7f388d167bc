package cache

import (
	"maps"
	"slices"
	"sync"
)

// progress is how far a fill has come, as its readers see it. They never see the last
// byte before the digest matched: while the size is unknown, any byte may be the last.
type progress struct {
	// wanted has room for one signal that a reader waits ahead of what comes in order.
	wanted chan struct{}

	// mu guards everything below.
	mu sync.Mutex
	// size is the whole content's, -1 while unknown, and for readers of content whose
	// source did not tell it until that is verified. end is the same as the fill knows it.
	size, end int64
	// arrived is what has come.
	arrived spans
	// answered says that the source in use has told the size or delivered bytes.
	answered bool
	verified bool
	err      error
	// changed is made by who waits for more than bytes, and closed by who has news. tips
	// are the same for bytes, by the position that they are waited for at.
	changed chan struct{}
	tips    map[int64]*tip
}

// tip is a position that readers wait for bytes at.
type tip struct {
	came    chan struct{} // closed
	readers int
}

func newProgress() *progress {
	return &progress{size: -1, end: -1, wanted: make(chan struct{}, 1), tips: map[int64]*tip{}}
}

// announce tells the size of the content in bytes; -1 is not known yet.
func (p *progress) announce(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if size >= 0 {
		// Of no bytes none can be withheld: who waits, waits until they are verified.
		p.size, p.end, p.answered = size, size, p.answered || size > 0
		p.wakeAll()
	}
}

// advance tells that s can be read.
func (p *progress) advance(s span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrived.add(s)
	if !p.answered {
		p.answered = true
		p.wake()
	}
	for pos, t := range p.tips {
		// Before it, too: a reader there was waiting for its byte not to be the last.
		if pos >= s.from-1 && pos < s.to {
			close(t.came)
			delete(p.tips, pos)
		}
	}
}

// ended tells that everything has come, size bytes.
func (p *progress) ended(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = size
	p.wakeAll()
}

// verify tells that the digest matched: all size bytes may be read.
func (p *progress) verify(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size, p.arrived, p.verified = size, spans{{0, size}}, true
	p.wakeAll()
}

// fail tells that no more will come, because of err. After verify it does nothing.
func (p *progress) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.verified {
		p.err = err
		p.wakeAll()
	}
}

// forget makes who comes next wait for the next source to answer.
func (p *progress) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = false
}

// complete tells whether everything has come and matched.
func (p *progress) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verified
}

// total returns the size in bytes, -1 while unknown.
func (p *progress) total() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// front returns where what has come without a gap ends.
func (p *progress) front() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.arrived.end(0)
}

// bytes is how many bytes have come.
func (p *progress) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.arrived.bytes()
}

// waiting returns where readers wait, in order.
func (p *progress) waiting() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.tips))
}

// visible is where what a reader at pos may have ends, at most pos if that is nothing.
// mu is held.
func (p *progress) visible(pos int64) int64 {
	end := p.arrived.end(pos)
	switch {
	case p.verified:
	case p.size < 0:
		end--
	default:
		end = min(end, p.size-1)
	}
	return end
}

// wake wakes who waits for an answer or the size. mu is held.
func (p *progress) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// wakeAll wakes everybody. Bytes alone wake only the readers at their tip: one that is busy
// sending finds more when it comes back, so the busier the readers the fewer are woken.
// Waking them less often than with every read from the source was measured to save
// nothing. mu is held.
func (p *progress) wakeAll() {
	p.wake()
	for _, t := range p.tips {
		close(t.came)
	}
	clear(p.tips)
}

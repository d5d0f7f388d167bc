package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrFull says that there is no room for content, nor any that eviction could make.
var ErrFull = errors.New("no room for content")

// ErrTooLarge is the ErrFull of content that is larger than all that may be held.
var ErrTooLarge = fmt.Errorf("%w of that size", ErrFull)

// Limits bound what a store holds.
type Limits struct {
	// MaxBytes is how many bytes of content may be held, content on its way in included;
	// 0 is any number.
	MaxBytes int64
	// MinFree is how many bytes of the file system are left to others.
	MinFree int64
}

// Eviction begins when more than highPercent of MaxBytes is taken, before anybody has to
// wait for it, and goes on until lowPercent is: that bounds how often it begins.
const (
	highPercent = 98
	lowPercent  = 95
)

// room shares out the space that the limits leave.
type room struct {
	// wanted has room for one signal that there may be something to evict.
	wanted  chan struct{}
	metrics *Metrics

	// mu guards what is below.
	mu     sync.Mutex
	limits Limits
	// held is what is recorded, reserved how many bytes content on its way in may take.
	held     Usage
	reserved int64
	waiting  []*claim
	closed   bool
}

// claim is somebody who waits for room; answer has room for the one answer.
type claim struct {
	bytes  int64
	answer chan error
}

func newRoom(limits Limits, metrics *Metrics) *room {
	metrics.limit(limits.MaxBytes)
	return &room{wanted: make(chan struct{}, 1), limits: limits, metrics: metrics}
}

// take reserves room, and waits for eviction to make it if need be. It returns ErrFull if
// that does not help, at once where it could not. As everywhere here, free is how many bytes
// the file system has left.
func (m *room) take(ctx context.Context, bytes, free int64) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	if err := m.never(bytes, free); err != nil {
		m.mu.Unlock()
		return err
	}
	if len(m.waiting) == 0 && m.fits(bytes, free) {
		m.reserve(bytes)
		high := m.excess(free, false) > 0
		m.mu.Unlock()
		if high {
			m.want()
		}
		return nil
	}
	c := &claim{bytes: bytes, answer: make(chan error, 1)}
	m.waiting = append(m.waiting, c)
	m.mu.Unlock()
	m.want()
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
	}
	m.withdraw(c)
	return ctx.Err()
}

// withdraw ends a claim whose owner has left, and gives back what it got meanwhile.
func (m *room) withdraw(c *claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.waiting, c); i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
		return
	}
	if err := <-c.answer; err == nil {
		m.reserve(-c.bytes)
	}
}

// account takes note of what is held, and how many bytes of it were reserved before.
func (m *room) account(held Usage, reserved int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = held
	m.reserve(-reserved)
}

// give gives reserved room back.
func (m *room) give(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reserve(-bytes)
}

// want makes the evictor look.
func (m *room) want() {
	select {
	case m.wanted <- struct{}{}:
	default:
	}
}

// closedTo is an ErrFull if there is room for nothing, whatever went.
func (m *room) closedTo(free int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.never(1, free)
}

// limit changes the limits.
func (m *room) limit(l Limits) {
	m.mu.Lock()
	m.limits = l
	m.mu.Unlock()
	m.metrics.limit(l.MaxBytes)
	m.want()
}

// minds tells whether the limits have to do with the file system's free space.
func (m *room) minds() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limits.MinFree > 0
}

// grant answers the claims that fit, in their order. It returns how many bytes have to go
// for the others, and for those to come, down to the low mark if low is set. What is gone
// already may be free only later, where somebody reads it still: expected is what is
// free with that. Nothing goes for a claim that has no room in an empty store either: that
// is refused. When nothing has to go, and claims are left, they wait for what went.
func (m *room) grant(free, expected int64, low bool) (excess int64, wait bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.waiting) > 0 {
		err := m.never(m.waiting[0].bytes, expected)
		if err == nil && !m.fits(m.waiting[0].bytes, free) {
			break
		}
		m.answer(err)
	}
	return max(0, m.excess(expected, low)), len(m.waiting) > 0
}

// refuse ends the wait of all claims: nothing more can go.
func (m *room) refuse(free int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuseAll(free, err)
}

// refuseAll refuses all claims but those that fit by themselves. mu is held.
func (m *room) refuseAll(free int64, err error) {
	for len(m.waiting) > 0 {
		if m.fits(m.waiting[0].bytes, free) {
			m.answer(nil)
		} else {
			m.answer(err)
		}
	}
}

// answer answers the first claim. mu is held.
func (m *room) answer(err error) {
	c := m.waiting[0]
	m.waiting = m.waiting[1:]
	if err == nil {
		m.reserve(c.bytes)
	}
	c.answer <- err
}

// close refuses those who wait, and all who come.
func (m *room) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.refuseAll(0, ErrClosed)
}

// reserve changes what is reserved. mu is held.
func (m *room) reserve(bytes int64) {
	m.reserved += bytes
	m.metrics.reserve(m.reserved)
}

// fits tells whether there is room for so many bytes. mu is held.
func (m *room) fits(bytes, free int64) bool {
	return !m.closed && free-bytes >= m.limits.MinFree &&
		(m.limits.MaxBytes == 0 || m.held.Bytes+m.reserved+bytes <= m.limits.MaxBytes)
}

// never is an ErrFull if there is no room for so many bytes even when everything went that
// can: content on its way in cannot. mu is held.
func (m *room) never(bytes, free int64) error {
	l := m.limits
	if l.MaxBytes > 0 && bytes > l.MaxBytes {
		return fmt.Errorf("%w: %d bytes, the limit for all content is %d", ErrTooLarge, bytes, l.MaxBytes)
	}
	if l.MaxBytes > 0 && bytes > l.MaxBytes-m.reserved {
		return fmt.Errorf("%w: the limit is %d bytes, %d of them are on their way in", ErrFull, l.MaxBytes, m.reserved)
	}
	// Each file may take a block more than it has bytes.
	if held := m.held.Bytes + m.held.Objects*blockBytes; l.MinFree > 0 && free < anySpace && bytes > free-l.MinFree+held {
		return fmt.Errorf("%w: %d bytes are free, %d held, and %d are to stay free", ErrFull, free, m.held.Bytes, l.MinFree)
	}
	return nil
}

// excess is by how many bytes too much is taken, measured from the high mark or the low
// one. Of those who wait it counts the first: nobody else is answered before. mu is held.
func (m *room) excess(free int64, low bool) int64 {
	var wanted int64
	if len(m.waiting) > 0 {
		wanted = m.waiting[0].bytes
	}
	percent, spare := int64(highPercent), m.limits.MinFree
	if low {
		percent, spare = lowPercent, spare+spare/10
	}
	excess := spare + wanted - free
	if m.limits.MaxBytes > 0 {
		// Divided first: the product may not fit.
		mark := m.limits.MaxBytes/100*percent + m.limits.MaxBytes%100*percent/100
		excess = max(excess, m.held.Bytes+m.reserved+wanted-mark)
	}
	return excess
}

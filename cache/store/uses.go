package store

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// useResolution is how much later than the written use a use must be to be written.
	useResolution = 10 * time.Minute
	// flushEvery is how often uses are written at least, flushUses after how many new
	// ones they are written at once.
	flushEvery = 10 * time.Second
	flushUses  = 4096
	// maxNoted bounds the uses in memory, about 150 bytes each, by part of the key space;
	// beyond it those go that are not worth writing.
	maxNoted = 128
)

// uses are the uses that are not written yet, or not worth writing because the index knows
// of one shortly before. Eviction heeds both.
type uses struct {
	parts [256]usePart
	fresh atomic.Int32
	// count is how many are noted, so that a store at rest does not look.
	count atomic.Int64
	// full has room for one signal that there is much to write.
	full chan struct{}
}

// usePart is the uses of the keys that begin alike: no lock is everybody's.
type usePart struct {
	// mu guards noted, and what it points to.
	mu    sync.Mutex
	noted map[string]*use
}

// use is the last use of an object, and the one that the index knew of then.
type use struct{ at, written int64 }

// worth tells whether the use is to be written.
func (n *use) worth() bool { return n.at-n.written >= int64(useResolution) }

func newUses() *uses { return &uses{full: make(chan struct{}, 1)} }

func (u *uses) part(key []byte) *usePart { return &u.parts[key[1]] }

// note notes a use of key, of whose uses the index knows the one at written.
func (u *uses) note(key []byte, at, written int64) {
	p := u.part(key)
	p.mu.Lock()
	if n := p.noted[string(key)]; n != nil {
		n.at, n.written = max(n.at, at), max(n.written, written)
		p.mu.Unlock()
		return
	}
	if p.noted == nil {
		p.noted = make(map[string]*use)
	}
	// A flush is under way by then, or slow; what is worth writing has the last places.
	if n := (&use{at, written}); len(p.noted) < 2*maxNoted || n.worth() && len(p.noted) < 8*maxNoted {
		p.noted[string(key)] = n
		u.count.Add(1)
	}
	p.mu.Unlock()
	if u.fresh.Add(1) == flushUses {
		select {
		case u.full <- struct{}{}:
		default:
		}
	}
}

// last returns the last use of key that was noted; 0 if there is none.
func (u *uses) last(key []byte) int64 {
	p := u.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.noted[string(key)]; n != nil {
		return n.at
	}
	return 0
}

// moment is a key and when it was used.
type moment struct {
	key []byte
	at  int64
}

// due returns what is to be written at the time now, everything if all is set, and forgets
// what is too old to matter or too much.
func (u *uses) due(now int64, all bool) []moment {
	u.fresh.Store(0)
	if u.count.Load() == 0 {
		return nil
	}
	var due []moment
	for i := range u.parts {
		p := &u.parts[i]
		p.mu.Lock()
		for key, n := range p.noted {
			switch {
			case all || n.worth():
				due = append(due, moment{[]byte(key), n.at})
			case now-n.at >= int64(useResolution) || len(p.noted) > maxNoted:
				delete(p.noted, key)
				u.count.Add(-1)
			}
		}
		p.mu.Unlock()
	}
	return due
}

// wrote forgets those of the moments that are the last use of their key still.
func (u *uses) wrote(moments []moment) {
	for _, m := range moments {
		p := u.part(m.key)
		p.mu.Lock()
		if n := p.noted[string(m.key)]; n != nil && n.at <= m.at {
			delete(p.noted, string(m.key))
			u.count.Add(-1)
		} else if n != nil {
			n.written = max(n.written, m.at)
		}
		p.mu.Unlock()
	}
}

// flush writes the uses that are due, everything if all is set, in bounded transactions.
func (s *Disk) flush(all bool) error {
	due := s.uses.due(s.index.clock.now(), all)
	for len(due) > 0 {
		n := min(len(due), maxBatch)
		err := s.index.apply(func(t *tables) error {
			for _, m := range due[:n] {
				if err := t.touch(m.key, m.at); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.uses.wrote(due[:n])
		due = due[n:]
	}
	return s.index.settle()
}

// Use implements Store.
func (s *Disk) Use(d digest.Digest) {
	p, err := locate(d)
	if err != nil {
		return
	}
	if r, err := s.index.lookup(p.key); err == nil && r != nil {
		s.uses.note(p.key, s.index.clock.now(), r.used)
	}
}

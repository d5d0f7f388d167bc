package server

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// restBound is how long a connection rests at least before it may have to make room for
	// another: whoever has just connected is about to ask.
	restBound = 2 * time.Second
	// warnEvery keeps a flood of connections from becoming one of warnings.
	warnEvery = time.Minute
)

// connections are all that are open, of which there is a limit.
type connections struct {
	metrics *Metrics
	logger  *slog.Logger
	max     atomic.Int64
	// freed has a token when one was closed since it was last waited for.
	freed chan struct{}

	mu     sync.Mutex // guards open and warned
	open   map[*connection]struct{}
	warned time.Time
}

func newConnections(limit int, m *Metrics, logger *slog.Logger) *connections {
	s := &connections{metrics: m, logger: logger, freed: make(chan struct{}, 1), open: map[*connection]struct{}{}}
	s.max.Store(int64(limit))
	m.watch(s)
	return s
}

func (s *connections) limit(n int) {
	s.max.Store(int64(n))
	s.signal()
}

func (s *connections) add(c *connection) {
	s.mu.Lock()
	s.open[c] = struct{}{}
	s.mu.Unlock()
}

func (s *connections) remove(c *connection) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.signal()
}

func (s *connections) signal() {
	select {
	case s.freed <- struct{}{}:
	default: // there is one already
	}
}

// full tells whether there may be no more.
func (s *connections) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.open)) >= s.max.Load()
}

// shed closes those that rest for longest, some at a time since finding them takes a look
// at all, and returns how many. A request that arrives at that very moment is lost, as it
// is whenever a server closes an idle connection; clients send it again.
func (s *connections) shed() int {
	resting := s.resting()
	slices.SortFunc(resting, func(a, b *connection) int { return cmp.Compare(a.rests.Load(), b.rests.Load()) })
	resting = resting[:min(len(resting), max(1, int(s.max.Load()/64)))]
	for _, c := range resting {
		c.Close()
	}
	s.metrics.closedForRoom(len(resting))
	return len(resting)
}

// resting are those that have not had a request for a while, or never had one.
func (s *connections) resting() []*connection {
	var resting []*connection
	before := time.Now().Add(-restBound).UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if !c.active() && c.rests.Load() <= before {
			resting = append(resting, c)
		}
	}
	return resting
}

// warn tells, now and then, that there are too many.
func (s *connections) warn() {
	s.mu.Lock()
	n, due := len(s.open), time.Since(s.warned) >= warnEvery
	if due {
		s.warned = time.Now()
	}
	s.mu.Unlock()
	if due {
		s.logger.Warn("as many connections are open as may be: resting ones are closed, then new ones wait",
			"open", n, "max_connections", s.max.Load())
	}
}

// count is how many there are in each state.
func (s *connections) count() map[http.ConnState]int {
	n := map[http.ConnState]int{http.StateNew: 0, http.StateActive: 0, http.StateIdle: 0}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		state := http.ConnState(c.state.Load())
		if _, known := n[state]; known {
			n[state]++
		}
	}
	return n
}

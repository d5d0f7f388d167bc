package cache

import (
	"sync"
	"time"
)

const (
	// minSegments is from how many segments on content is large.
	minSegments = 4
	// lanesPerFill times a fill's connections is what all fills from one source may have
	// beside their first ones.
	lanesPerFill = 2
)

// Lanes are the connections over which large content comes from one upstream, beside the
// first of each fill. All fills from it share them. A nil *Lanes has none.
type Lanes struct {
	connections int
	segment     int64

	// mu guards what is below.
	mu     sync.Mutex
	free   int
	closed time.Time // until when none is given
}

// NewLanes returns lanes for fills of at most so many connections, the first included; 1
// is no lane. segment is the least number of bytes that one request asks for.
func NewLanes(connections int, segment int64) *Lanes {
	return &Lanes{connections: connections, segment: segment, free: (connections - 1) * lanesPerFill}
}

// Pause gives no lane for d. Those in use are left to who has them.
func (l *Lanes) Pause(d time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(d); until.After(l.closed) {
		l.closed = until
	}
}

// serve tells whether content of size bytes is worth more than one connection.
func (l *Lanes) serve(size int64) bool {
	return l != nil && l.connections > 1 && l.segment > 0 && size/minSegments >= l.segment
}

// acquire takes a lane if one is free.
func (l *Lanes) acquire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free == 0 || time.Now().Before(l.closed) {
		return false
	}
	l.free--
	return true
}

func (l *Lanes) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free++
}

package pull

import (
	"sync"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
)

// lanes has the lanes of each upstream that something large came from.
type lanes struct {
	mu sync.Mutex // guards by
	by map[string]upstreamLanes
}

// upstreamLanes are those of an upstream as it was configured.
type upstreamLanes struct {
	*cache.Lanes
	connections int
	segment     int64
}

func newLanes() *lanes { return &lanes{by: map[string]upstreamLanes{}} }

// of returns the lanes of u, nil if it is to have none.
func (l *lanes) of(u *catalog.Upstream) *cache.Lanes {
	if u.Connections < 2 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.by[u.ID]
	if held.Lanes == nil || held.connections != u.Connections || held.segment != u.SegmentSize {
		held = upstreamLanes{cache.NewLanes(u.Connections, u.SegmentSize), u.Connections, u.SegmentSize}
		l.by[u.ID] = held
	}
	return held.Lanes
}

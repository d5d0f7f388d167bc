package store

import (
	"errors"
	"time"
)

// keep writes uses and evicts until the store is closed. It is the store's one goroutine
// beside the index's writer.
func (s *Disk) keep() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		s.evict()
		select {
		case <-s.room.wanted:
		case <-s.uses.full:
			s.write(false)
		case <-tick.C:
			s.write(false)
			s.age()
		case <-s.stop:
			s.room.close()
			s.write(true)
			return
		}
	}
}

// write writes the uses that are due, everything if all is set.
func (s *Disk) write(all bool) {
	if err := s.flush(all); err != nil && !errors.Is(err, ErrClosed) {
		s.log.Error("uses of content could not be written", "error", err)
	}
}

// age tells the metrics how long ago the oldest use was.
func (s *Disk) age() {
	if s.metrics == nil {
		return
	}
	oldest, err := s.index.oldest(1)
	if err != nil {
		return // the next to ask for content hears of it
	}
	var idle time.Duration
	for _, k := range oldest {
		idle = time.Duration(s.index.clock.now() - max(k.record.used, s.uses.last(k.key)))
	}
	s.metrics.oldest(idle)
}

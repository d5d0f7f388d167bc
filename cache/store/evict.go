package store

import (
	"math"
	"time"
)

const (
	// evictAtOnce bounds the objects that go with one transaction.
	evictAtOnce = 1024
	// blockBytes is what the smallest file takes on most file systems.
	blockBytes = 4096
	// anySpace is the free space where no limit minds it.
	anySpace = math.MaxInt64
	// lateFor is how long space may take to become free after the files are gone, as on
	// btrfs, ZFS and XFS, and lateEvery how often that is looked at.
	lateFor   = time.Second
	lateEvery = 20 * time.Millisecond
)

// eviction is one run of it, and what went.
type eviction struct {
	// began is by the clock of the store.
	began          int64
	objects, bytes int64
	// blocks is bytes as the file system counts them.
	blocks int64
}

// evict makes room until the low mark is reached and nobody waits, or nothing is left that
// could go. It is the keeper's alone.
func (s *Disk) evict() {
	run := eviction{began: s.index.clock.now()}
	s.makeRoom(&run)
	if run.objects > 0 {
		s.log.Info("content evicted", "objects", run.objects, "bytes", run.bytes, "took", time.Duration(s.index.clock.now()-run.began), "held_bytes", s.Usage().Bytes)
	}
}

func (s *Disk) makeRoom(run *eviction) {
	first, late := s.freeNow(), lateFor
	for low := false; ; low = true {
		free := s.freeNow()
		expected := free
		if first < anySpace {
			expected = max(free, first+run.blocks)
		}
		excess, wait := s.room.grant(free, expected, low)
		progress := false
		switch {
		case excess > 0:
			var err error
			if progress, err = s.evictSome(excess, run); err != nil {
				s.log.Error("content could not be evicted", "error", err)
			}
			late = lateFor
		case !wait:
			return
		case run.objects > 0 && late > 0:
			progress = s.pause(lateEvery)
			late -= lateEvery
		}
		if !progress {
			s.room.refuse(s.freeNow(), ErrFull)
			return
		}
	}
}

// pause waits for d; false says that the store is closed.
func (s *Disk) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.stop:
		return false
	}
}

// victim is an object that is to go, with its place locked.
type victim struct {
	place   place
	keyed   keyed
	release func()
}

// evictSome lets objects go, those used longest ago first, until excess bytes went or a
// transaction is full. It tells whether anything changed: objects that were used since
// that was last written move to their place in the order instead.
func (s *Disk) evictSome(excess int64, run *eviction) (progress bool, err error) {
	oldest, err := s.index.oldest(evictAtOnce)
	if err != nil {
		return false, err
	}
	var (
		victims []victim
		moved   []moment
		bytes   int64
	)
	defer func() {
		for _, v := range victims {
			v.release()
		}
	}()
	for _, k := range oldest {
		// Where even the oldest use is of this run's time, everything is in use, and what
		// is first in the order has to go.
		if at := s.uses.last(k.key); at > k.record.used && k.record.used < run.began {
			moved = append(moved, moment{k.key, at})
			continue
		}
		if bytes >= excess {
			break
		}
		p, err := locate(digestOf(k.key))
		if err != nil {
			return false, err
		}
		// Whoever has it locked commits it, drops it or looks why it is not as it should be.
		if release, free := s.locks.try(p.file); free {
			victims = append(victims, victim{p, k, release})
			bytes += k.record.size
		}
	}
	gone, err := s.forget(victims, moved)
	if err != nil {
		return false, err
	}
	removed, err := s.remove(gone, run)
	// Victims that were used meanwhile are not gone, and moved as well.
	return len(moved)+len(victims)-len(gone)+len(removed) > 0, err
}

// forget drops the records of victims, but of those that were used meanwhile, and writes
// the uses of moved. It returns whose files are to be removed.
func (s *Disk) forget(victims []victim, moved []moment) (gone []victim, err error) {
	for _, v := range victims {
		s.log.Debug("content is evicted", "digest", v.place.digest, "size", v.keyed.record.size)
	}
	err = s.index.apply(func(t *tables) error {
		gone = gone[:0]
		for _, v := range victims {
			evicted, err := t.evict(v.keyed)
			if err != nil {
				return err
			}
			if evicted {
				gone = append(gone, v)
			}
		}
		for _, m := range moved {
			if err := t.touch(m.key, m.at); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.uses.wrote(moved)
	}
	return gone, err
}

// remove removes the files of what has no record any more. What cannot be removed is held
// still, and recorded again: as used last, so that it is not the next to be tried.
func (s *Disk) remove(gone []victim, run *eviction) (removed []place, err error) {
	var left []keyed
	for _, v := range gone {
		if err := s.unlink(v.place); err != nil {
			s.log.Error("content could not be evicted, it stays", "digest", v.place.digest, "error", err)
			left = append(left, v.keyed)
			continue
		}
		removed = append(removed, v.place)
		size := v.keyed.record.size
		run.objects++
		run.bytes += size
		run.blocks += (size + blockBytes - 1) / blockBytes * blockBytes
		s.metrics.evict(size)
	}
	s.removed(removed...)
	if len(left) == 0 {
		return removed, nil
	}
	return removed, s.index.apply(func(t *tables) error {
		for _, k := range left {
			k.record.used = s.index.clock.now()
			if err := t.put(k.key, k.record); err != nil {
				return err
			}
		}
		return nil
	})
}

// freeNow tells how many bytes the file system has left, if a limit minds it.
func (s *Disk) freeNow() int64 {
	if !s.room.minds() {
		return anySpace
	}
	free, err := s.free()
	if err != nil {
		s.log.Warn("free space is not known", "error", err)
		return anySpace
	}
	return free
}

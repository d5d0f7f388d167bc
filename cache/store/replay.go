package store

import (
	"errors"
	"io/fs"
	"slices"
)

// replay carries out what the last process noted and may not have come to: it ended
// between a record and its file's name, or between a record's end and its file's. That is
// as much as a few transactions hold, however much there is in the store. What the file
// system does not let it look at, remove or sync stays noted, for the next start: nothing is
// tried twice.
func (s *Disk) replay() error {
	tried := make(map[string]bool)
	for {
		n, err := s.index.unfulfilled(maxBatch, tried)
		if err != nil || n.empty() {
			return err
		}
		for _, key := range slices.Concat(n.arrived, n.doomed) {
			tried[string(key)] = true
		}
		lost, err := s.lost(&n)
		if err != nil {
			return err
		}
		if err := s.replayed(n, lost); err != nil {
			return err
		}
	}
}

// lost returns what was recorded and did not get its name, or not whole: that is doomed.
// What has it, has it for good from then on.
func (s *Disk) lost(n *intents) (lost []place, err error) {
	var arrived [][]byte
	var named []place
	for _, key := range n.arrived {
		p, err := locate(digestOf(key))
		if err != nil {
			arrived = append(arrived, key) // not of ours; the note goes
			continue
		}
		r, err := s.index.lookup(key)
		if err != nil {
			return nil, err
		}
		info, err := s.root.Lstat(p.file)
		switch missing := errors.Is(err, fs.ErrNotExist); {
		case err != nil && !missing:
			s.log.Error("whether content is there cannot be told, the next start looks again", "digest", p.digest, "error", err)
			continue
		case missing || r == nil || !info.Mode().IsRegular() || info.Size() != r.size:
			lost = append(lost, p)
			n.doomed = append(n.doomed, key)
			arrived = append(arrived, key)
		default:
			named = append(named, p)
		}
	}
	n.arrived = append(arrived, s.synced(named)...)
	return lost, nil
}

// replayed drops the records of lost, removes the files of what is doomed, and clears n.
func (s *Disk) replayed(n intents, lost []place) error {
	if len(lost) > 0 {
		s.log.Info("content whose commit was cut short is dropped", "objects", len(lost))
		err := s.index.apply(func(t *tables) error {
			for _, p := range lost {
				if err := t.doom(p.key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var removed []place
	done := intents{arrived: n.arrived}
	for _, key := range n.doomed {
		p, err := locate(digestOf(key))
		if err != nil {
			done.doomed = append(done.doomed, key)
			continue
		}
		if err := s.unlink(p); err != nil {
			s.log.Error("content that is dropped could not be removed, the next start tries again", "digest", p.digest, "error", err)
			continue
		}
		removed = append(removed, p)
	}
	s.index.done.add(done)
	s.removed(removed...)
	return s.index.settle()
}

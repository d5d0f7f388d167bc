package store

import (
	"errors"
	"io/fs"
)

// replay carries out what the last process noted and may not have come to: it ended
// between a record and its file's name, or between a record's end and its file's. That is
// as much as a few transactions hold, however much there is in the store.
func (s *Disk) replay() error {
	for {
		n, err := s.index.unfulfilled(maxBatch)
		if err != nil || n.empty() {
			return err
		}
		var lost []place
		for _, key := range n.arrived {
			p, err := locate(digestOf(key))
			if err != nil {
				continue // not of ours; the note goes
			}
			whole, err := s.arrived(p)
			if err != nil {
				return err
			}
			if !whole {
				lost = append(lost, p)
				n.doomed = append(n.doomed, key)
			}
		}
		if err := s.replayed(n, lost); err != nil {
			return err
		}
	}
}

// arrived tells whether the file of p got its name, whole.
func (s *Disk) arrived(p place) (bool, error) {
	r, err := s.index.lookup(p.key)
	if err != nil || r == nil {
		return false, err
	}
	info, err := s.root.Lstat(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular() && info.Size() == r.size, err
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
	for _, key := range n.doomed {
		p, err := locate(digestOf(key))
		if err != nil {
			continue
		}
		if err := s.unlink(p); err != nil {
			return err
		}
	}
	s.index.done.add(n)
	return s.index.settle()
}

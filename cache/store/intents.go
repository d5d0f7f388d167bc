package store

import (
	"bytes"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// intents are keys by what is, or was, about to happen to their files; see tables.
type intents struct {
	arrived, doomed [][]byte
}

func (n intents) empty() bool { return len(n.arrived)+len(n.doomed) == 0 }

// fulfilled gathers intents that came true, for the next transaction to clear. They are
// cleared before its own changes: a key that is noted again meanwhile stays noted.
type fulfilled struct {
	// mu guards done.
	mu   sync.Mutex
	done intents
}

func (f *fulfilled) add(n intents) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done.arrived = append(f.done.arrived, n.arrived...)
	f.done.doomed = append(f.done.doomed, n.doomed...)
}

func (f *fulfilled) take() intents {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.done
	f.done = intents{}
	return n
}

func (f *fulfilled) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done.empty()
}

// unfulfilled returns up to limit of each kind of intent that the index holds, but those
// for the keys in but.
func (x *index) unfulfilled(limit int, but map[string]bool) (intents, error) {
	var n intents
	err := x.view(func(tx *bolt.Tx) error {
		n = intents{
			arrived: firstKeys(tx.Bucket(arrivedBucket), limit, but),
			doomed:  firstKeys(tx.Bucket(doomedBucket), limit, but),
		}
		return nil
	})
	return n, err
}

func firstKeys(b *bolt.Bucket, limit int, but map[string]bool) [][]byte {
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(keys) < limit; k, _ = c.Next() {
		if !but[string(k)] {
			keys = append(keys, bytes.Clone(k))
		}
	}
	return keys
}

// doomed tells whether the file of key is to be removed.
func (x *index) doomed(key []byte) (found bool, err error) {
	err = x.view(func(tx *bolt.Tx) error {
		k, _ := tx.Bucket(doomedBucket).Cursor().Seek(key)
		found = bytes.Equal(k, key)
		return nil
	})
	return found, err
}

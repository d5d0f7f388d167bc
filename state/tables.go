package state

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

var (
	entriesBucket  = []byte("entries")
	expiriesBucket = []byte("expiries")
)

// tables are the two buckets of the file within one transaction.
type tables struct {
	// entries has a record under every key.
	entries *bbolt.Bucket
	// expiries lists the keys that end, ordered by when, so that a sweep touches only
	// what has expired, however many entries there are. Its values are empty.
	expiries *bbolt.Bucket
}

func createTables(tx *bbolt.Tx) error {
	for _, name := range [][]byte{entriesBucket, expiriesBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return nil
}

func tablesOf(tx *bbolt.Tx) tables {
	return tables{entries: tx.Bucket(entriesBucket), expiries: tx.Bucket(expiriesBucket)}
}

func (t tables) get(key []byte) record { return t.entries.Get(key) }

// put stores r, which must stay unchanged until the transaction ends.
func (t tables) put(key []byte, r record) error {
	if err := t.unlist(key); err != nil {
		return err
	}
	if ends := r.ends(); ends != 0 {
		if err := t.expiries.Put(expiryKey(ends, key), nil); err != nil {
			return fmt.Errorf("list expiry: %w", err)
		}
	}
	if err := t.entries.Put(key, r); err != nil {
		return fmt.Errorf("put entry: %w", err)
	}
	return nil
}

func (t tables) remove(key []byte) error {
	if err := t.unlist(key); err != nil {
		return err
	}
	if err := t.entries.Delete(key); err != nil {
		return fmt.Errorf("delete entry: %w", err)
	}
	return nil
}

// unlist takes what key holds now off the list of expiries.
func (t tables) unlist(key []byte) error {
	old := t.get(key)
	if old == nil || old.ends() == 0 {
		return nil
	}
	if err := t.expiries.Delete(expiryKey(old.ends(), key)); err != nil {
		return fmt.Errorf("unlist expiry: %w", err)
	}
	return nil
}

// sweep removes at most limit entries that have expired, those that ended first first,
// and tells how many it removed.
func (t tables) sweep(now time.Time, limit int) (int, error) {
	// Collected first: a bbolt cursor may skip keys when its bucket changes under it.
	var due [][]byte
	c := t.expiries.Cursor()
	for k, _ := c.First(); k != nil && len(due) < limit; k, _ = c.Next() {
		if ends, _ := parseExpiryKey(k); !ends.past(now) {
			break
		}
		due = append(due, append([]byte{}, k...))
	}
	for _, k := range due {
		if err := t.expiries.Delete(k); err != nil {
			return 0, fmt.Errorf("unlist expiry: %w", err)
		}
		ends, key := parseExpiryKey(k)
		if r := t.get(key); r == nil || r.ends() != ends {
			continue
		}
		if err := t.entries.Delete(key); err != nil {
			return 0, fmt.Errorf("delete entry: %w", err)
		}
	}
	return len(due), nil
}

// scan returns copies of the live entries in r. It stops early when ctx ends.
func (t tables) scan(ctx context.Context, r Range) []Entry {
	var entries []Entry
	now, prefix := time.Now(), []byte(r.Prefix)
	c := t.entries.Cursor()
	k, v := c.Seek([]byte(max(r.Prefix, r.After)))
	for n := 1; k != nil && bytes.HasPrefix(k, prefix) && len(entries) < r.Limit; n++ {
		if found := record(v); string(k) != r.After && found.live(now) {
			entries = append(entries, Entry{Key: string(k), Value: found.copied()})
		}
		if n%1024 == 0 && ctx.Err() != nil {
			break
		}
		k, v = c.Next()
	}
	return entries
}

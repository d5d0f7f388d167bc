package store

import (
	"bytes"
	"errors"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// migrateAtOnce is how many records one transaction of a migration takes.
const migrateAtOnce = 10_000

// migrate brings an index of version 1, which has no order of uses, to version 2: what was
// committed first counts as used first. A migration that was cut short begins anew. A
// million records take some seconds, once.
func migrate(db *bolt.DB) error {
	err := db.Update(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(recencyBucket); err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
			return err
		}
		return makeBuckets(tx)
	})
	var from []byte
	for more := true; more && err == nil; {
		err = db.Update(func(tx *bolt.Tx) error {
			var err error
			if from, err = addRecency(tx, from); from != nil || err != nil {
				return err
			}
			more = false
			return tx.Bucket(metaBucket).Put(versionKey, []byte{indexVersion})
		})
	}
	return err
}

// addRecency enters the records from a key on into the order of uses, and returns the key
// to go on from; nil at the end.
func addRecency(tx *bolt.Tx, from []byte) (next []byte, err error) {
	recency, c := tx.Bucket(recencyBucket), tx.Bucket(recordsBucket).Cursor()
	n := 0
	for k, v := c.Seek(from); k != nil; k, v = c.Next() {
		if n++; n > migrateAtOnce {
			return bytes.Clone(k), nil
		}
		if err := recency.Put(recencyKey(decodeRecord(v).used, k), nil); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

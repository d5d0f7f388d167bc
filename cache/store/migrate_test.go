package store_test

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	bolt "go.etcd.io/bbolt"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// writeIndex writes the index of a store of one bucket of records.
func writeIndex(t *testing.T, dir string, version byte, records map[string][]byte) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "index.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		bucket, err := tx.CreateBucket([]byte("records"))
		if err != nil {
			return err
		}
		var bytes uint64
		for k, v := range records {
			bytes += binary.BigEndian.Uint64(v)
			if err := bucket.Put([]byte(k), v); err != nil {
				return err
			}
		}
		totals := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(len(records))), bytes)
		if err := meta.Put([]byte("totals"), totals); err != nil {
			return err
		}
		return meta.Put([]byte("version"), []byte{version})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// oldRecord is a record of version 1, with the key of c.
func oldRecord(t *testing.T, c storetest.Content, committed int) (key string, value []byte) {
	t.Helper()
	hash, err := hex.DecodeString(c.Digest.Encoded())
	if err != nil {
		t.Fatal(err)
	}
	value = binary.BigEndian.AppendUint64(nil, uint64(len(c.Bytes)))
	return "\x01" + string(hash), binary.BigEndian.AppendUint64(value, uint64(committed))
}

// writeFile puts c where a store finds it.
func writeFile(t *testing.T, dir string, c storetest.Content) {
	t.Helper()
	folder := filepath.Join(dir, "sha256", c.Digest.Encoded()[:2])
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, c.Digest.Encoded()), c.Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOldIndex: an index of version 1 is read, and what was committed first goes first.
func TestOldIndex(t *testing.T) {
	dir := t.TempDir()
	records := map[string][]byte{}
	for i, n := range []int{4, 2, 0, 8, 6, 1, 3, 5, 7} {
		key, value := oldRecord(t, kilo(n), 1_700_000_000+i)
		records[key] = value
		writeFile(t, dir, kilo(n))
	}
	writeIndex(t, dir, 1, records)
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			s := limited(t, dir, store.Limits{})
			wantUsage(t, s, store.Usage{Objects: 9, Bytes: 9000})
			wantHeld(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, dir, store.Limits{MaxBytes: 5300})
		wantHeld(t, s, 1, 3, 5, 6, 7)
	})
}

// TestMigrationOfMany takes more than one transaction.
func TestMigrationOfMany(t *testing.T) {
	dir := t.TempDir()
	records := map[string][]byte{}
	const many = 21_000
	for i := range many {
		key := make([]byte, 33)
		key[0] = 1
		binary.BigEndian.PutUint64(key[1:], uint64(i)*0x9e3779b97f4a7c15)
		records[string(key)] = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 10), uint64(i))
	}
	writeIndex(t, dir, 1, records)
	s := openDisk(t, dir)
	wantUsage(t, s, store.Usage{Objects: many, Bytes: 10 * many})
	s.Limit(store.Limits{MaxBytes: 100})
	// There are no files: only the records go, and this waits for it.
	mustKeep(t, s, storetest.Random(1, 99))
	wantUsage(t, s, store.Usage{Objects: 1, Bytes: 99})
}

// TestNewerIndex is refused, whole.
func TestNewerIndex(t *testing.T) {
	dir := t.TempDir()
	writeIndex(t, dir, 3, nil)
	if s, err := store.OpenDisk(dir, store.DiskOptions{}); err == nil {
		mustClose(t, s)
		t.Error("an index of a later version was opened")
	}
}

package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	bolt "go.etcd.io/bbolt"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// noted changes what a closed store's index has noted: keys of bucket are those of contents.
func noted(t *testing.T, dir, bucket string, contents ...storetest.Content) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "index.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bolt.Tx) error {
		for _, c := range contents {
			key, _ := oldRecord(t, c, 0)
			if err := tx.Bucket([]byte(bucket)).Put([]byte(key), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wantNothingNoted looks whether a closed store has carried out all it had noted.
func wantNothingNoted(t *testing.T, dir string) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "index.db"), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for _, bucket := range []string{"arrived", "doomed"} {
			if k, _ := tx.Bucket([]byte(bucket)).Cursor().First(); k != nil {
				t.Errorf("%s holds %x still", bucket, k)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReplay starts a store that ended in the middle of things, in each of the ways.
func TestReplay(t *testing.T) {
	file := func(dir string, n int) string {
		hex := kilo(n).Digest.Encoded()
		return filepath.Join(dir, "sha256", hex[:2], hex)
	}
	for _, test := range []struct {
		name   string
		bucket string
		harm   func(t *testing.T, dir string)
		want   []int
	}{
		{"named, and not cleared yet", "arrived", func(*testing.T, string) {}, []int{0, 1, 2}},
		{"recorded, and not named", "arrived", func(t *testing.T, dir string) {
			if err := os.Remove(file(dir, 1)); err != nil {
				t.Fatal(err)
			}
		}, []int{0, 2}},
		{"named, and empty after a loss of power", "arrived", func(t *testing.T, dir string) {
			if err := os.Truncate(file(dir, 1), 0); err != nil {
				t.Fatal(err)
			}
		}, []int{0, 2}},
		{"a folder in its place", "arrived", func(t *testing.T, dir string) {
			if err := os.Remove(file(dir, 1)); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(file(dir, 1), "more"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []int{0, 2}},
		{"not removed yet", "doomed", func(t *testing.T, dir string) { writeFile(t, dir, kilo(3)) }, []int{0, 1, 2}},
		{"removed, and not cleared yet", "doomed", func(*testing.T, string) {}, []int{0, 1, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { keepAll(t, limited(t, dir, store.Limits{}), 0, 1, 2) })
			if test.bucket == "arrived" {
				noted(t, dir, test.bucket, kilo(1), kilo(2))
			} else {
				noted(t, dir, test.bucket, kilo(3), kilo(4))
			}
			test.harm(t, dir)
			synctest.Test(t, func(t *testing.T) {
				s := limited(t, dir, store.Limits{})
				if got := len(onDisk(t, dir)); got != len(test.want) {
					t.Errorf("%d files after the start, want %d", got, len(test.want))
				}
				wantUsage(t, s, store.Usage{Objects: int64(len(test.want)), Bytes: 1000 * int64(len(test.want))})
				wantHeld(t, s, test.want...)
				wantTree(t, dir, s)
			})
			wantNothingNoted(t, dir)
		})
	}
}

// TestReplayOfMany: more than one transaction holds is carried out as well.
func TestReplayOfMany(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	mustKeep(t, s, kilo(0))
	mustClose(t, s)
	var doomed []storetest.Content
	for n := range 1500 { // more than one transaction's worth
		doomed = append(doomed, storetest.Random(uint64(1000+n), 5))
	}
	for _, c := range doomed[:50] {
		writeFile(t, dir, c)
	}
	noted(t, dir, "doomed", doomed...)
	s = openDisk(t, dir)
	if left := onDisk(t, dir); len(left) != 1 || left[0] != kilo(0).Digest {
		t.Errorf("%d files are left", len(left))
	}
	mustClose(t, s)
	wantNothingNoted(t, dir)
}

// TestNothingStaysNoted: an orderly end leaves nothing to replay.
func TestNothingStaysNoted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := limited(t, dir, store.Limits{MaxBytes: 10_000})
		keepAll(t, s, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
		if err := s.Delete(t.Context(), kilo(12).Digest); err != nil {
			t.Fatal(err)
		}
	})
	wantNothingNoted(t, dir)
}

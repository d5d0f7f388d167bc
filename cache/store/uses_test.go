package store_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// writtenUses tells the last uses that a running store has written, as a crash now would
// leave them.
func writtenUses(t *testing.T, dir string) map[digest.Digest]time.Time {
	t.Helper()
	synctest.Wait()
	other := t.TempDir()
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenDisk(other, store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	used := map[digest.Digest]time.Time{}
	for _, o := range objects(t, s, "") {
		used[o.Digest] = o.Used
	}
	return used
}

// TestUsesAreWritten when ten seconds have passed, and only where they tell something new.
func TestUsesAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := limited(t, dir, store.Limits{})
		began := time.Now()
		for n := range 3 {
			mustKeep(t, s, kilo(n))
		}
		wantUsed := func(what string, want ...time.Duration) {
			t.Helper()
			used := writtenUses(t, dir)
			for n := range 3 {
				if got := used[kilo(n).Digest].Sub(began); got != want[n] {
					t.Errorf("%s: %d was used after %s, want %s", what, n, got, want[n])
				}
			}
		}
		wantUsed("committed", 0, 0, 0)
		time.Sleep(9 * time.Minute)
		wantWhole(t, s, kilo(0).Digest)
		time.Sleep(20 * time.Second)
		wantUsed("a use that is as good as written", 0, 0, 0)
		time.Sleep(41 * time.Second) // ten minutes by now, and between two looks
		wantWhole(t, s, kilo(0).Digest)
		s.Use(kilo(1).Digest)
		wantUsed("uses that are not due", 0, 0, 0)
		time.Sleep(11 * time.Second)
		due := 10*time.Minute + time.Second
		wantUsed("uses that were due", due, due, 0)
		s.Use(kilo(2).Digest)
		s.Use(kilo(3).Digest)    // not held
		s.Use("sha256:nonsense") // nor possible
		time.Sleep(time.Second / 2)
		wantWhole(t, s, kilo(0).Digest)
		mustClose(t, s)
		last := due + 11*time.Second
		wantUsed("the end", last+time.Second/2, due, last)
	})
}

// TestManyUsesAreWritten before ten seconds have passed.
func TestManyUsesAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		records := map[string][]byte{}
		var held []storetest.Content
		for n := range 4200 {
			c := storetest.Random(uint64(n), 8)
			held = append(held, c)
			key, value := oldRecord(t, c, 1_000)
			records[key] = value
		}
		writeIndex(t, dir, 1, records)
		s := limited(t, dir, store.Limits{})
		now := time.Now()
		for _, c := range held[:4000] {
			s.Use(c.Digest)
		}
		if got := writtenUses(t, dir)[held[0].Digest]; got.Unix() != 1_000 {
			t.Errorf("written at %s, too early", got)
		}
		for _, c := range held[4000:] {
			s.Use(c.Digest)
		}
		if got := writtenUses(t, dir)[held[0].Digest]; !got.Equal(now) {
			t.Errorf("written %s, want %s", got, now)
		}
	})
}

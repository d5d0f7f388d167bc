package store_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// TestReplayOnAFullDisk: what was left half done keeps no store from opening whose disk is
// too full to write that it was mended. It is mended when there is room again.
func TestReplayOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a file system of its own needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(disk, "content")
	mustKeepIn(t, dir, kilo(0))
	var arrived []storetest.Content
	for n := range 900 { // their end takes more pages than are free in the index
		arrived = append(arrived, storetest.Random(uint64(1000+n), 5))
	}
	noted(t, dir, "arrived", arrived...)
	stuffing := filepath.Join(disk, "stuffing")
	stuff(t, stuffing)

	var log bytes.Buffer
	s, err := store.OpenDisk(dir, store.DiskOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	wantWhole(t, s, kilo(0).Digest)
	mustClose(t, s)
	if !strings.Contains(log.String(), "no space left") {
		t.Errorf("the log: %s", log.String())
	}
	if err := os.Remove(stuffing); err != nil {
		t.Fatal(err)
	}
	mustClose(t, openDisk(t, dir))
	wantNothingNoted(t, dir)
}

// stuff makes a file that takes all the room there is, 16 MiB at most.
func stuff(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 1 << 12 {
		if _, err := f.Write(make([]byte, 4<<10)); err != nil {
			return
		}
	}
	t.Fatal("it took 16 MiB")
}

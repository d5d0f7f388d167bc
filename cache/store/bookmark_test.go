package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-cache/berth/cache/store"
)

func TestBookmark(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenDisk(dir, store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Bookmark(); b != nil || err != nil {
		t.Errorf("of a new store: %q, %v", b, err)
	}
	for _, text := range []string{"page 7", "page 12", ""} {
		if err := s.SetBookmark([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Bookmark(); string(b) != text || err != nil {
			t.Errorf("%q, %v, want %q", b, err, text)
		}
	}
	if err := s.SetBookmark([]byte("page 20")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if err := s.SetBookmark(nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := s.Bookmark(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	s = openDisk(t, dir)
	if b, err := s.Bookmark(); string(b) != "page 20" || err != nil {
		t.Errorf("after a restart: %q, %v", b, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "staging")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

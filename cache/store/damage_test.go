package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// TestDamagedIndex: whatever is wrong with the file, the error names it and the cure.
func TestDamagedIndex(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	for i := range 300 {
		mustKeep(t, s, storetest.Random(uint64(i), 10))
	}
	mustClose(t, s)
	content, err := os.ReadFile(filepath.Join(dir, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for name, damaged := range map[string][]byte{
		"garbage":              bytes.Repeat([]byte("no database "), 2000),
		"short":                []byte("short"),
		"one page":             content[:page],
		"two pages":            content[:2*page],
		"cut in half":          content[:len(content)/2],
		"only its first pages": append(bytes.Clone(content[:2*page]), bytes.Repeat([]byte{0xa5}, len(content)-2*page)...),
		"zeros behind":         append(bytes.Clone(content[:2*page]), make([]byte, len(content)-2*page)...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "index.db")
			if err := os.WriteFile(file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := store.OpenDisk(dir, store.DiskOptions{})
			if err == nil {
				mustClose(t, s)
				t.Fatal("a damaged index was opened")
			}
			if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "berth check --repair") {
				t.Errorf("%v, want it to name %s and the cure", err, file)
			}
		})
	}
}

// TestDamageWhileOpen loses the end of the index under a running store: calls say so, and
// the process lives.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenDisk(dir, store.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		mustKeep(t, s, storetest.Random(uint64(i), 10))
	}
	if err := os.Truncate(filepath.Join(dir, "index.db"), int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	c := storetest.Random(1, 10)
	if _, _, err := s.Open(t.Context(), c.Digest); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Open: %v, want ErrDamaged", err)
	}
	if _, err := s.Stat(t.Context(), c.Digest); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Stat: %v, want ErrDamaged", err)
	}
	for range 2 {
		if err := keep(s, storetest.Random(1000, 10)); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("Commit: %v, want ErrDamaged", err)
		}
	}
	if err := s.Close(); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Close: %v, want ErrDamaged", err)
	}
}

package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIndexIsCertainBeforeItIsWritten: what a process that was killed left in the kernel's
// cache alone is synced before another overwrites pages that it freed.
func TestIndexIsCertainBeforeItIsWritten(t *testing.T) {
	needStrace(t)
	h := newHistory(t, 0)
	h.trace(t)
	for _, c := range h.trace(t) {
		switch c.name {
		case "fdatasync", "pwrite64", "ftruncate":
		default:
			continue
		}
		if strings.HasSuffix(c.file(0), "/index.db") {
			if c.name != "fdatasync" {
				t.Errorf("the first thing done to the index is %v", c)
			}
			return
		}
	}
	t.Error("the index was not used")
}

// TestNewIndexStays: an index that a start made for content that was there is there after
// a loss of power, though nothing was committed since.
func TestNewIndexStays(t *testing.T) {
	needStrace(t)
	h := newHistory(t, 0)
	content := filepath.Join(h.disk.path, "content")
	s := openDisk(t, content)
	mustKeep(t, s, kilo(0))
	mustClose(t, s)
	if err := os.Remove(filepath.Join(content, "index.db")); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.disk, err = load(h.disk.path); err != nil {
		t.Fatal(err)
	}
	for _, c := range traced(t, content, []string{"BERTH_TEST_SEED=0", commitsEnv + "=0"}) {
		if err := h.disk.do(c); err != nil {
			t.Fatal(err)
		}
	}
	after := h.build(t, filepath.Join(t.TempDir(), "disk"), weathers(h.rand, 0)[0])
	if _, err := os.Stat(filepath.Join(after, "content", "index.db")); err != nil {
		t.Error(err)
	}
}

package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-cache/berth/state"
)

func TestBoltHeldByAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	first := openBolt(t, path)
	// The lock belongs to the open file, so a second opener here is as good as one in
	// another process.
	_, err := state.OpenBolt(path, state.BoltOptions{})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another berth process") {
		t.Errorf("OpenBolt = %v, want an error that names %s and says who has it", err, path)
	}
	must(t, first.Put(t.Context(), "k", nil, 0))
	must(t, first.Close())
	openBolt(t, path)
}

func TestBoltUnreadable(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	b := openBolt(t, whole)
	for i := range 200 {
		must(t, b.Put(t.Context(), fmt.Sprint(i), bytes.Repeat([]byte("v"), 3000), 0))
	}
	must(t, b.Close())
	content, err := os.ReadFile(whole)
	must(t, err)
	page := os.Getpagesize()

	for name, damaged := range map[string][]byte{
		"garbage":              bytes.Repeat([]byte("no database "), 2000),
		"short":                []byte("short"),
		"one page":             content[:page],
		"two pages":            content[:2*page],
		"cut in half":          content[:len(content)/2],
		"cut after few pages":  content[:8*page],
		"only its first pages": append(bytes.Clone(content[:2*page]), bytes.Repeat([]byte{0xa5}, len(content)-2*page)...),
		"zeros behind":         append(bytes.Clone(content[:2*page]), make([]byte, len(content)-2*page)...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			must(t, os.WriteFile(path, damaged, 0o600))
			b, err := state.OpenBolt(path, state.BoltOptions{})
			if err == nil {
				t.Fatal(errors.Join(errors.New("a damaged file was opened"), b.Close()))
			}
			if !errors.Is(err, state.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "check --repair") {
				t.Errorf("OpenBolt = %v, want an ErrDamaged that names %s and the way out", err, path)
			}
		})
	}
	for name, path := range map[string]string{
		"folder": dir, "no folder": filepath.Join(dir, "absent", "state.db"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := state.OpenBolt(path, state.BoltOptions{}); err == nil || errors.Is(err, state.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("OpenBolt = %v, want an error that names %s and does not call it damaged", err, path)
			}
		})
	}
}

// TestBoltDamagedWhileOpen loses the end of the file under a running engine: its calls
// say so, and the process lives.
func TestBoltDamagedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b, err := state.OpenBolt(path, state.BoltOptions{})
	must(t, err)
	for i := range 100 {
		must(t, b.Put(t.Context(), fmt.Sprintf("%03d", i), bytes.Repeat([]byte("v"), 3000), 0))
	}
	must(t, os.Truncate(path, int64(2*os.Getpagesize())))
	if _, err := b.Get(t.Context(), "050"); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("Get = %v, want ErrUnavailable", err)
	}
	if _, err := b.Scan(t.Context(), state.Range{Limit: 100}); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("Scan = %v, want ErrUnavailable", err)
	}
	for range 3 {
		if err := b.Put(t.Context(), "050", nil, 0); !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("Put = %v, want ErrUnavailable", err)
		}
	}
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Close = %v, want an error that says why the file stays open", err)
	}
}

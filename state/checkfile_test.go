package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-cache/berth/state"
)

func TestCheckFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := state.CheckFile(t.Context(), path); err != nil {
		t.Errorf("a file that is not there: %v", err)
	}
	b, err := state.OpenBolt(path, state.BoltOptions{})
	must(t, err)
	for i := range 200 {
		must(t, b.Put(context.WithoutCancel(t.Context()), fmt.Sprintf("%04d", i), bytes.Repeat([]byte("v"), 3000), 0))
	}
	if err := state.CheckFile(t.Context(), path); !errors.Is(err, state.ErrInUse) {
		t.Errorf("a file in use: %v", err)
	}
	must(t, b.Close())
	before, err := os.ReadFile(path)
	must(t, err)
	if err := state.CheckFile(t.Context(), path); err != nil {
		t.Errorf("a good file: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := state.CheckFile(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("looking changed the file: %v", err)
	}
	// A check leaves no lock behind, either.
	b, err = state.OpenBolt(path, state.BoltOptions{})
	must(t, err)
	must(t, b.Close())

	if err := state.CheckFile(t.Context(), filepath.Dir(path)); err == nil || errors.Is(err, state.ErrDamaged) {
		t.Errorf("a folder: %v", err)
	}
	page := os.Getpagesize()
	middle := len(before) / 2 / page * page
	for name, content := range map[string][]byte{
		"empty":       {},
		"garbage":     bytes.Repeat([]byte("no database "), 2000),
		"cut":         before[:middle],
		"torn":        bytes.Join([][]byte{before[:4*page], make([]byte, len(before)-4*page)}, nil),
		"overwritten": bytes.Join([][]byte{before[:4*page], bytes.Repeat([]byte{0xa5}, len(before)-4*page)}, nil),
	} {
		must(t, os.WriteFile(path, content, 0o600))
		err := state.CheckFile(t.Context(), path)
		if !errors.Is(err, state.ErrDamaged) && name != "empty" || name == "empty" && err != nil || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

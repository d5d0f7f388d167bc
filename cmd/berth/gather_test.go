package main

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bunches remembers each write.
type bunches struct {
	mu      sync.Mutex // guards both
	written []string
	err     error
}

func (b *bunches) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written = append(b.written, string(p))
	return len(p), b.err
}

func TestGatherer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(bunches)
		g := newGatherer(out)
		write := func(s string) {
			t.Helper()
			if n, err := g.Write([]byte(s)); n != len(s) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		}
		want := func(bunches ...string) {
			t.Helper()
			synctest.Wait()
			out.mu.Lock()
			defer out.mu.Unlock()
			if got := strings.Join(out.written, "|"); got != strings.Join(bunches, "|") {
				t.Errorf("written %q, want %q", out.written, bunches)
			}
			out.written = nil
		}
		write("a\n")
		time.Sleep(gatherFor - 1)
		write("b\n")
		want()
		time.Sleep(time.Nanosecond)
		want("a\nb\n")
		time.Sleep(time.Hour)
		want()

		long := strings.Repeat("x", gatherBytes)
		write("c\n")
		write(long)
		want("c\n" + long)

		write("d\n")
		if _, err := g.now().Write([]byte("at once\n")); err != nil {
			t.Error(err)
		}
		want("d\nat once\n")

		write("d\n")
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		want("d\n")

		full := errors.New("disk full")
		out.mu.Lock()
		out.err = full
		out.mu.Unlock()
		write("e\n")
		time.Sleep(gatherFor)
		synctest.Wait()
		if _, err := g.Write([]byte("f\n")); !errors.Is(err, full) {
			t.Errorf("Write after one that failed: %v", err)
		}
	})
}

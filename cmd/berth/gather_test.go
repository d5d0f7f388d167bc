package main

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
	})
}

// stuck takes nothing until release is closed.
type stuck struct {
	bunches
	release chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	return s.bunches.Write(p)
}

// Nobody reads the log: no request waits, memory is bounded, and what is lost is counted.
func TestLogThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{release: make(chan struct{})}
		g := newGatherer(out)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		began := time.Now()
		for range 10 {
			for range 1024 {
				if _, err := g.Write(line); err != nil {
					t.Error(err)
				}
			}
			synctest.Wait() // the writer is stuck with what it took, or is about to be
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("who wrote waited for %s", took)
		}
		if len(g.lines) > gatherMost {
			t.Errorf("%d bytes wait", len(g.lines))
		}
		if err := g.Close(); !errors.Is(err, errNotTaken) {
			t.Errorf("Close: %v", err)
		}
		close(out.release)
		synctest.Wait()
		written := len(strings.Join(out.written, "")) / len(line)
		if want := 10*1024 - written; written == 0 || g.lost != want {
			t.Errorf("%d lines written, %d lost, want %d", written, g.lost, want)
		}
	})
}

// A disk that was full for a while is no reason to end with an error.
func TestLogThatCanBeWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &bunches{err: errors.New("disk full")}
		g := newGatherer(out)
		for _, line := range []string{"lost\n", "there\n"} {
			if _, err := g.Write([]byte(line)); err != nil {
				t.Error(err)
			}
			time.Sleep(gatherFor)
			synctest.Wait()
			out.mu.Lock()
			out.err = nil
			out.mu.Unlock()
		}
		if err := g.Close(); err != nil || g.lost != 1 {
			t.Errorf("Close: %v, %d lines lost, want one", err, g.lost)
		}
	})
}

// A pipe without a reader would end the process with SIGPIPE.
func TestLogWhoseReaderHasGone(t *testing.T) {
	p := start(t, t.TempDir(), upstreamOf("http://127.0.0.1:1", ""))
	must(t, p.stdout.Close())
	eventually(t, "a line is lost", func() bool {
		p.want(t, p.url+"/v2/", 200, nil)
		_, metrics, err := p.get(p.ops + "/metrics")
		must(t, err)
		return !bytes.Contains(metrics, []byte("\nberth_log_lost_lines_total 0\n"))
	})
	p.want(t, p.url+"/v2/", 200, nil)
}

func TestLogThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		g := newGatherer(&bunches{err: full})
		registry := prometheus.NewRegistry()
		g.describe(registry)
		for range 3 {
			if _, err := g.Write([]byte("e\n")); err != nil {
				t.Error(err)
			}
		}
		if err := g.Close(); !errors.Is(err, full) {
			t.Errorf("Close: %v", err)
		}
		want := "# HELP berth_log_lost_lines_total Lines of the log that could not be written, or not soon enough to keep them.\n" +
			"# TYPE berth_log_lost_lines_total counter\nberth_log_lost_lines_total 3\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

package cache_test

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
)

// tally counts by name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) count(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name]++
}

// TestChaos has twenty clients at a time get, put and delete what sources in every kind of
// chaos have, in a store that is too small, whose limit changes and that fails in every
// second bubble. No answer may be wrong, nor late, nor may an honest source's fail, and
// nothing may be left over. With BERTH_SOAK=1 it does so 120 times, -v prints figures;
// BERTH_SOAK_SEED decides what the bubbles hold.
func TestChaos(t *testing.T) {
	bubbles, operations, seed := 2, 10, uint64(1)
	if os.Getenv("BERTH_SOAK") == "1" {
		bubbles, operations = 120, 25
	}
	if text := os.Getenv("BERTH_SOAK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	told := &tally{counts: map[string]int{}}
	for i := range bubbles {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, seed<<16+uint64(i), i%2 == 1)
			b.run(t, operations)
			b.wantNothingLeft(t)
			for name, n := range b.counts {
				told.counts[name] += n
			}
		})
		if t.Failed() {
			t.Fatalf("in bubble %d, seed %d", i, seed)
		}
	}
	for _, name := range []string{"evicted", "failed", "left", "mismatches", "passed through", "ranges", "store faults", "whole"} {
		if told.counts[name] == 0 {
			t.Errorf("none %s: too few to tell anything", name)
		}
	}
	t.Logf("seed %d, %d bubbles: %v", seed, bubbles, told.counts)
}

// bubble is a world of its own.
type bubble struct {
	*dice
	*tally
	dir      string
	faulty   bool
	disk     *store.Disk
	contents *cache.Contents
	origins  []*chaosOrigin
	metrics  *prometheus.Registry
	// open counts the sources, and their bodies, that are not closed.
	open atomic.Int64
}

func newBubble(t *testing.T, seed uint64, faults bool) *bubble {
	b := &bubble{
		dice: newDice(seed), tally: &tally{counts: map[string]int{}},
		dir: t.TempDir(), faulty: faults, metrics: prometheus.NewRegistry(),
	}
	var err error
	b.disk, err = store.OpenDisk(b.dir, store.DiskOptions{Limits: store.Limits{MaxBytes: 6 << 20}, Metrics: store.NewMetrics(b.metrics)})
	if err != nil {
		t.Fatal(err)
	}
	b.contents = cache.NewContents(&faulty{b.disk, b.fault}, cache.ContentOptions{
		Orphans: 2, Keep: 20 * time.Second, MemoryBytes: 1 << 20, Metrics: cache.NewMetrics(b.metrics, nil),
	})
	lanes := cache.NewLanes(4, segment)
	for i := range 24 {
		b.origins = append(b.origins, newChaosOrigin(i, b.dice, lanes, &b.open))
	}
	return b
}

// fault is what a call of the store comes to.
func (b *bubble) fault(op string, _ digest.Digest) (apply bool, err error) {
	if !b.faulty {
		return true, nil
	}
	switch {
	case op == "write" && b.oneIn(100):
		err = syscall.ENOSPC
	case op == "commit" && b.oneIn(20):
		apply, err = b.oneIn(2), syscall.EIO
	case op == "stage" && b.oneIn(20), op == "open" && b.oneIn(50):
		err = syscall.EMFILE
	}
	if err != nil {
		b.count("store faults")
		return apply, err
	}
	return true, nil
}

func (b *bubble) limit(bytes int64) { b.disk.Limit(store.Limits{MaxBytes: bytes}) }

// run has each client do so many things, and waits for all that follows from it.
func (b *bubble) run(t *testing.T, operations int) {
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			for range operations {
				b.operation(t)
			}
		})
	}
	clients.Wait()
	finish(t, b.contents)
	synctest.Wait()
}

// wantNothingLeft looks at what there is when everybody has gone, makes the limit one that
// has things go, looks again, and closes the store.
func (b *bubble) wantNothingLeft(t *testing.T) {
	if n := b.open.Load(); n != 0 {
		t.Errorf("%d sources and bodies are open", n)
	}
	b.wantKept(t)
	b.limit(1 << 20)
	synctest.Wait()
	if u := b.wantKept(t); u.Bytes > 1<<20 {
		t.Errorf("%d bytes are held, of at most 1 MiB", u.Bytes)
	}
	for _, name := range []string{"berth_content_reserved_bytes", "berth_fills_running", "berth_fill_connections"} {
		if n := b.metric(t, name); n != 0 {
			t.Errorf("%s is %v at the end", name, n)
		}
	}
	b.counts["evicted"] += int(b.metric(t, "berth_evicted_objects_total"))
	if err := b.disk.Close(); err != nil {
		t.Error(err)
	}
	b.wantNoDescriptors(t)
}

// wantKept wants what is kept to be whole and counted, and nothing beside it.
func (b *bubble) wantKept(t *testing.T) (kept store.Usage) {
	for d, err := range b.disk.Files(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		f, size, err := b.disk.Open(t.Context(), d)
		if err != nil {
			t.Errorf("%s has a file: %v", d, err)
			continue
		}
		got, err := io.ReadAll(f)
		if f.Close(); err != nil || int64(len(got)) != size || digest.FromBytes(got) != d {
			t.Errorf("%s: %d bytes of %d, or wrong ones: %v", d, len(got), size, err)
		}
		kept.Objects++
		kept.Bytes += size
	}
	if usage := b.disk.Usage(); usage != kept {
		t.Errorf("usage is %+v, of files %+v", usage, kept)
	}
	staged, err := os.ReadDir(filepath.Join(b.dir, "staging"))
	if err != nil || len(staged) > 0 {
		t.Errorf("%d files are staged: %v", len(staged), err)
	}
	return kept
}

// metric returns that of a gauge or counter without labels.
func (b *bubble) metric(t *testing.T, name string) float64 {
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// wantNoDescriptors wants no file of the bubble to be open, where the system tells.
func (b *bubble) wantNoDescriptors(t *testing.T) {
	const folder = "/proc/self/fd"
	descriptors, _ := os.ReadDir(folder) //nolint:errcheck // there is none but on Linux
	for _, fd := range descriptors {
		if name, err := os.Readlink(filepath.Join(folder, fd.Name())); err == nil && strings.HasPrefix(name, b.dir+"/") {
			t.Errorf("open still: %s", name)
		}
	}
}

package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// shelf is content in memory that can be scrubbed, and writes down what was inspected.
type shelf struct {
	mu        sync.Mutex // guards everything below
	contents  map[digest.Digest][]byte
	inspected []digest.Digest
	bookmark  []byte
	fault     func(op string, d digest.Digest) (apply bool, err error)
}

var _ cache.Scrubbable = (*shelf)(nil)

func newShelf(contents ...storetest.Content) *shelf {
	s := &shelf{contents: map[digest.Digest][]byte{}, fault: noFault}
	for _, c := range contents {
		s.contents[c.Digest] = c.Bytes
	}
	return s
}

func (s *shelf) order() []digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []digest.Digest
	for d := range s.contents {
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

func (s *shelf) Objects(_ context.Context, after digest.Digest) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for _, d := range s.order() {
			if d > after && !yield(store.Object{Digest: d}, nil) {
				return
			}
		}
	}
}

func (s *shelf) Files(context.Context) iter.Seq2[digest.Digest, error] {
	return func(yield func(digest.Digest, error) bool) {
		for _, d := range s.order() {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (s *shelf) Inspect(_ context.Context, d digest.Digest) (store.Content, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inspected = append(s.inspected, d)
	b, ok := s.contents[d]
	switch apply, err := s.fault("inspect", d); {
	case !apply:
		return nil, 0, err
	case !ok:
		return nil, 0, store.ErrNotFound
	}
	return onShelf{bytes.NewReader(b)}, int64(len(b)), nil
}

type onShelf struct{ *bytes.Reader }

func (onShelf) Close() error { return nil }

func (s *shelf) Delete(_ context.Context, d digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if apply, err := s.fault("delete", d); !apply {
		return err
	}
	delete(s.contents, d)
	return nil
}

func (s *shelf) Bookmark() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bookmark, nil
}

func (s *shelf) SetBookmark(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if apply, err := s.fault("bookmark", ""); !apply {
		return err
	}
	s.bookmark = b
	return nil
}

// seen returns what was inspected since the last time.
func (s *shelf) seen() []digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.inspected
	s.inspected = nil
	return seen
}

func (s *shelf) want(t *testing.T, want ...digest.Digest) {
	t.Helper()
	if diff := cmp.Diff(want, s.seen(), cmp.Transformer("none", func(d []digest.Digest) []digest.Digest { return append([]digest.Digest{}, d...) })); diff != "" {
		t.Errorf("inspected (-want +got):\n%s", diff)
	}
}

// unasked is a store that nobody asks for content.
type unasked struct{ store.Store }

func (unasked) Use(digest.Digest) {}

// scrubOf scrubs s in a bubble at a rate, until the function that it returns is called.
func scrubOf(t *testing.T, s *shelf, rate int64) (scrub *cache.Scrub, stop func()) {
	t.Helper()
	c := cache.NewContents(unasked{}, cache.ContentOptions{MemoryBytes: -1})
	scrub = cache.NewScrub(c, cache.ScrubOptions{Store: s, BytesPerSecond: rate})
	return scrub, func() { scrub.Close(); finish(t, c) }
}

// many is so much content of 1 MiB, and what is read for each object.
func many(n int) (all []storetest.Content, cost int64) {
	for i := range n {
		all = append(all, storetest.Random(uint64(i+1), 1<<20))
	}
	return all, 1<<20 + 64<<10
}

func TestScrubKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, cost := many(8)
		s := newShelf(all...)
		order := s.order()
		_, stop := scrubOf(t, s, cost/10) // an object in ten seconds
		defer stop()
		time.Sleep(35 * time.Second)
		s.want(t, order[:4]...)
		time.Sleep(25 * time.Second)
		s.want(t, order[4:6]...)
	})
}

func TestScrubRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, cost := many(3)
		s := newShelf(all...)
		order := s.order()
		_, stop := scrubOf(t, s, cost)
		time.Sleep(time.Hour)
		s.want(t, order...)
		time.Sleep(29 * day)
		s.want(t)
		stop()
		_, stop = scrubOf(t, s, cost) // a restart does not begin another round
		time.Sleep(time.Hour)
		s.want(t)
		time.Sleep(day)
		s.want(t, order...)
		stop()
	})
}

func TestScrubGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, cost := many(6)
		s := newShelf(all...)
		order := s.order()
		_, stop := scrubOf(t, s, cost/10)
		time.Sleep(25 * time.Second)
		stop()
		s.want(t, order[:3]...)
		_, stop = scrubOf(t, s, cost)
		time.Sleep(time.Minute)
		s.want(t, order[2:]...) // the one that it was at, again
		stop()
		// A crash loses half a minute of it.
		s.bookmark = nil
		_, stop = scrubOf(t, s, cost/10)
		time.Sleep(45 * time.Second)
		s.mu.Lock()
		crashed := string(s.bookmark)
		s.mu.Unlock()
		if !strings.Contains(crashed, order[3].String()) && !strings.Contains(crashed, order[2].String()) {
			t.Errorf("kept %s, want it to name one of the last", crashed)
		}
		stop()
	})
}

func TestScrubCanBeSwitched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, cost := many(2)
		s := newShelf(all...)
		scrub, stop := scrubOf(t, s, 0)
		defer stop()
		time.Sleep(day)
		s.want(t)
		scrub.Limit(cost)
		time.Sleep(time.Minute)
		s.want(t, s.order()...)
	})
}

// Another rate holds at once, however long the last one would have had it wait.
func TestScrubRateReachesAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, cost := many(3)
		s := newShelf(all...)
		scrub, stop := scrubOf(t, s, 1)
		defer stop()
		time.Sleep(time.Minute)
		scrub.Limit(cost)
		time.Sleep(time.Minute)
		s.want(t, s.order()...)
	})
}

// What is kept of an earlier process may be of another time, or nonsense.
func TestScrubWithAStrangeBookmark(t *testing.T) {
	all, cost := many(2)
	for name, bookmark := range map[string]string{
		"of the future":  fmt.Sprintf(`{"began": %q, "done": %q}`, "2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z"),
		"of long ago":    fmt.Sprintf(`{"began": %q, "done": %q}`, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
		"nonsense":       `nonsense`,
		"a strange name": `{"under": true, "after": "../../etc/passwd"}`,
		"empty":          ``,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(all...)
				s.bookmark = []byte(bookmark)
				_, stop := scrubOf(t, s, cost)
				defer stop()
				time.Sleep(time.Minute)
				s.want(t, s.order()...)
				time.Sleep(day)
				s.want(t)
			})
		})
	}
}

// A store that cannot be looked into is left alone for a while after each object; nothing
// is dropped for it, and no object keeps the scrub from those behind it.
func TestScrubOfAStoreInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, cost := many(6)
		s := newShelf(all...)
		order := s.order()
		s.fault = func(op string, _ digest.Digest) (bool, error) { return op != "inspect", syscall.EMFILE }
		_, stop := scrubOf(t, s, cost)
		defer stop()
		time.Sleep(150 * time.Second)
		s.want(t, order[:3]...)
		s.mu.Lock()
		s.fault = func(op string, d digest.Digest) (bool, error) { return op != "inspect" || d != order[4], syscall.EIO }
		s.mu.Unlock()
		time.Sleep(time.Hour)
		s.want(t, order[3:]...)
		if left := s.order(); len(left) != len(order) {
			t.Errorf("%d of %d are left", len(left), len(order))
		}
	})
}

// Damage of the disk is found, dropped, counted and mended by the next fill.
func TestScrubFindsDamage(t *testing.T) {
	dir := t.TempDir()
	disk := openIn(t, dir)
	defer closeStore(t, disk)
	good, flip, small := storetest.Random(1, 700_000), storetest.Random(2, 700_000), storetest.Random(3, 500)
	held(t, disk, good, flip, small)
	log, registry := newJournal(), prometheus.NewRegistry()
	metrics := cache.NewMetrics(registry, nil)
	c := newContents(t, disk, cache.ContentOptions{MemoryBytes: 1 << 20, Metrics: metrics})
	wantHeld(t, c, small) // and in memory from now on
	write(t, fileOf(dir, flip.Digest), flipped(flip.Bytes, 699_999))
	write(t, fileOf(dir, small.Digest), flipped(small.Bytes, 0))
	scrub := cache.NewScrub(c, cache.ScrubOptions{Store: disk, BytesPerSecond: 1 << 40, Logger: slog.New(log), Metrics: metrics})
	for done := false; !done; {
		b, err := disk.Bookmark()
		if err != nil || t.Context().Err() != nil {
			t.Fatal(err)
		}
		done = bytes.Contains(b, []byte(`"under":false`))
	}
	scrub.Close()
	wantCounts(t, registry, map[string]float64{
		"berth_damaged_objects_total{scrub}": 2, "berth_damaged_objects_total{open}": 0, "berth_scrubbed_bytes_total": 700_000,
	})
	if lines := log.take(); len(lines) != 2 || !strings.HasPrefix(lines[0], "ERROR damaged content was found and dropped") {
		t.Errorf("the log: %q", lines)
	}
	wantHeld(t, c, good)
	for _, content := range []storetest.Content{flip, small} {
		wantNotHeld(t, c, content.Digest)
		src := &source{content: content.Bytes}
		wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
		src.wantOpens(t, 0)
	}
}

// Damage that the file's size tells is found when it is opened.
func TestDamageFoundWhenOpened(t *testing.T) {
	for name, left := range map[string]int{"cut": 9999, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			disk := openIn(t, dir)
			defer closeStore(t, disk)
			content := storetest.Random(1, 10_000)
			held(t, disk, content)
			registry := prometheus.NewRegistry()
			c := cache.NewContents(disk, cache.ContentOptions{MemoryBytes: -1, Metrics: cache.NewMetrics(registry, nil)})
			defer finish(t, c)
			write(t, fileOf(dir, content.Digest), content.Bytes[:left])
			src := &source{content: content.Bytes}
			wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
			src.wantOpens(t, 0)
			wantCounts(t, registry, map[string]float64{"berth_damaged_objects_total{open}": 1, "berth_damaged_objects_total{scrub}": 0})
		})
	}
}

// wantCounts compares metrics by name{label}.
func wantCounts(t *testing.T, registry *prometheus.Registry, want map[string]float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if len(m.GetLabel()) > 0 {
				name += "{" + m.GetLabel()[0].GetValue() + "}"
			}
			if _, ok := want[name]; ok {
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

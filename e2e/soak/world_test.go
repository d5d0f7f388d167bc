package soak_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/origin"
	"github.com/berth-cache/berth/e2e/soak/process"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

// patience bounds every wait for a condition.
const patience = 20 * time.Second

// world is a Berth with three upstreams that nobody else uses: one plain, one with tokens
// and redirects, one that knows no ranges.
type world struct {
	*process.Berth
	*load.Load
	config  process.Config
	library *truth.Library
	origins []*origin.Origin
	random  *rand.Rand
}

// newWorld makes a world. Berth does not run yet.
func newWorld(t *testing.T, size truth.Size, maxSize string) *world {
	t.Helper()
	w := &world{random: rand.New(rand.NewPCG(seed, 0))}
	w.library = truth.NewLibrary(seed, size, "alpha", "beta", "gamma")
	w.origins = []*origin.Origin{
		origin.New(t, "alpha", w.library, origin.Options{}),
		origin.New(t, "beta", w.library, origin.Options{Tokens: true, Storage: true}),
		origin.New(t, "gamma", w.library, origin.Options{NoRanges: true}),
	}
	w.config = process.Config{
		Upstreams:  map[string]process.Upstream{},
		Registries: map[string]process.Registry{"default": {Upstreams: []string{"alpha", "beta", "gamma"}}},
		Log:        map[string]string{"level": "warn"},
		Cache:      map[string]string{"min_free": "0"},
	}
	if maxSize != "" {
		w.config.Cache["max_size"] = maxSize
	}
	for _, o := range w.origins {
		w.config.Upstreams[o.Name] = process.Upstream{
			URL: "http://" + o.Addr, Hosts: []string{o.Name + ".test"},
			Validity: "1s", ListValidity: "1s", NegativeValidity: "1s",
		}
	}
	beta := w.config.Upstreams["beta"]
	beta.Validity, beta.Username, beta.Password = "24h", origin.Username, origin.Password
	w.config.Upstreams["beta"] = beta
	w.Berth = process.New(t, binary, w.config)
	w.Load = load.New(w.URL(), w.library)
	t.Cleanup(w.HangUp)
	return w
}

// stop stops all upstreams; the returned function starts them again.
func (w *world) stop(t *testing.T) (start func()) {
	t.Helper()
	for _, o := range w.origins {
		o.Stop()
	}
	return func() {
		for _, o := range w.origins {
			o.Start(t)
		}
	}
}

// recovered waits until each upstream is asked again and its answers are taken: one that
// said 429 is left alone for a second.
func (w *world) recovered(t *testing.T) {
	t.Helper()
	for _, o := range w.origins {
		p, image := w.library.ColdAt(w.random, o.Name)
		eventually(t, "something new comes from "+o.Name, func() (bool, string) {
			ending, detail := w.Pull(t.Context(), p, "v0", image)
			return ending == load.Right, detail
		})
	}
}

// eventually waits until it is so; if that takes too long it tells what there is instead.
func eventually(t *testing.T, what string, so func() (is bool, instead string)) {
	t.Helper()
	eventuallyWithin(t, patience, what, so)
}

func eventuallyWithin(t *testing.T, bound time.Duration, what string, so func() (is bool, instead string)) {
	t.Helper()
	limit := time.After(bound)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		is, instead := so()
		if is {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within %s: %s; instead: %s", bound, what, instead)
		}
	}
}

// wantNoneBad fails the test for answers that were wrong or lost.
func (w *world) wantNoneBad(t *testing.T) {
	t.Helper()
	wrong, lost, complaints := w.Tally.Bad()
	if wrong > 0 || lost > 0 {
		t.Errorf("wrong answers: %d, lost in calm weather: %d", wrong, lost)
	}
	for _, complaint := range complaints {
		t.Error(complaint)
	}
}

// wantTreeAsReported compares the content folder with what Berth says that it holds, when
// nothing changes any more, and its files with their names.
func (w *world) wantTreeAsReported(t *testing.T) {
	t.Helper()
	// What is evicted goes from the count first and from the folder second, at a start too.
	eventually(t, "the tree is as reported", func() (bool, string) {
		tree, m := w.Tree(t), w.Metrics(t)
		objects, bytes := m["berth_content_objects"], m["berth_content_bytes"]
		return float64(len(tree)) == objects && float64(tree.Bytes()) == bytes,
			fmt.Sprintf("%d files of %d bytes, reported %.0f of %.0f", len(tree), tree.Bytes(), objects, bytes)
	})
	if damaged := w.Damaged(t); len(damaged) > 0 {
		t.Errorf("%d files are not what their names say: %v", len(damaged), damaged)
	}
	if n := w.Staging(t); n > 0 {
		t.Errorf("%d files are in staging", n)
	}
}

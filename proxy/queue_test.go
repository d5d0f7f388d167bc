package proxy_test

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// Nobody who pulls what is held waits for the rate of its upstream.
func TestHeldDoesNotQueue(t *testing.T) {
	timeless(t, "rate", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{
			name: "hub", change: func(u *catalog.Upstream) { u.Validity = time.Minute },
			client: func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Second} },
		}}})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		for _, tag := range []string{"2", "3", "4", "5"} {
			r.hubs["hub"].Tag("app", tag, image.Digest)
		}
		tags := []string{"1", "2", "3", "4", "5"}
		for _, tag := range tags {
			r.pulled(manifestPath("app", tag), image.Manifest)
		}
		time.Sleep(time.Hour)
		began := time.Now()
		for _, tag := range tags {
			r.pulled(manifestPath("app", tag), image.Manifest)
		}
		if took := time.Since(began); took > 4*25*time.Millisecond {
			t.Errorf("held tags were served after %s in all", took)
		}
		time.Sleep(10 * time.Second)
		r.hubs["hub"].Reset()
		for _, tag := range tags {
			r.pulled(manifestPath("app", tag), image.Manifest)
		}
		r.asked("hub") // they have been confirmed behind
	})
}

// Who joins a check waits for it as who began it does: what it takes itself is no sign that
// the upstream is busy.
func TestCheckIsNotBusyWithItself(t *testing.T) {
	for name, limit := range map[string]func(*upstream.Config){
		"concurrency": func(cfg *upstream.Config) { cfg.Concurrency = 1 },
		"rate":        func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Second} },
	} {
		for kind, path := range map[string]string{"tag": manifestPath("app", "1"), "list": "/v2/app/tags/list"} {
			timeless(t, name+", "+kind, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub", client: limit, change: func(u *catalog.Upstream) { u.Validity, u.ListValidity = 0, 0 }}}})
				r.hubs["hub"].AddImage("app", "1", []byte("one"))
				old := r.get(path)
				time.Sleep(time.Hour)
				two := r.hubs["hub"].AddImage("app", "1", []byte("two"))
				r.hubs["hub"].Tag("app", "2", two.Digest)
				r.hubs["hub"].Fail(nil, upstreamtest.Fault{Delay: 100 * time.Millisecond})
				got := make(chan answer, 2)
				for range 2 {
					go func() { got <- r.get(path) }()
					time.Sleep(50 * time.Millisecond)
				}
				for range 2 {
					if a := <-got; a.StatusCode != http.StatusOK || string(a.body) == string(old.body) {
						t.Errorf("%s, %s: the old is served though the upstream is well", a.Status, a.Header.Get("Cache-Status"))
					}
				}
			})
		}
	}
}

// Who pulls after a limit has been lifted does not wait with those who began before.
func TestLiftedLimitIsNotWaitedFor(t *testing.T) {
	timeless(t, "rate", func(t *testing.T) {
		var now *catalog.Catalog
		r := newRig(t, plan{
			upstreams: []far{{name: "hub", client: func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Hour} }}},
			options:   func(o *proxy.Options) { now = o.Catalog },
		})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		r.hubs["hub"].Tag("app", "2", image.Digest)
		r.pulled(manifestPath("app", "1"), image.Manifest)
		paths := []string{manifestPath("app", "2"), blobPath("app", image.Layers[0])}
		waiting := make(chan answer, len(paths))
		for _, path := range paths {
			go func() { waiting <- r.get(path) }()
		}
		synctest.Wait()

		r.plan.upstreams[0].client, r.metrics = nil, prometheus.NewRegistry()
		changed := r.upstreams(slog.New(slog.DiscardHandler))
		defer changed["hub"].Client.(*upstream.Client).Close()
		changed["hub"].Epoch++
		now.Replace(r.catalog(changed).Snapshot())
		began := time.Now()
		for _, path := range paths {
			if a := r.get(path); a.StatusCode != http.StatusOK || time.Since(began) > 0 {
				t.Errorf("%s: %s after %s", path, a.Status, time.Since(began))
			}
		}
		for range paths {
			<-waiting
		}
	})
}

// Large layers of one client, of which one may run at a time, all arrive.
func TestLargeLayersTakeTurns(t *testing.T) {
	timeless(t, "concurrency", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub", client: func(cfg *upstream.Config) { cfg.Concurrency = 2 }}}})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer one"), []byte("layer two"))
		r.pulled(manifestPath("app", "1"), image.Manifest)
		release := make(chan struct{})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, Delay: 25 * time.Second, StallAfter: 3, Release: release})
		time.AfterFunc(50*time.Second, func() { close(release) })
		var all sync.WaitGroup
		for _, layer := range image.Layers {
			all.Go(func() {
				if a := r.get(blobPath("app", layer)); a.StatusCode != http.StatusOK || a.cut != nil {
					t.Errorf("%s, cut %v: %s", a.Status, a.cut, a.body)
				}
			})
		}
		all.Wait()
	})
}

// The check of a held list, which nobody waits for, holds up nobody who has nothing.
func TestHeldListsQueueBehind(t *testing.T) {
	timeless(t, "rate", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{
			name: "hub", client: func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: 2 * time.Second} },
		}}})
		hub := r.hubs["hub"]
		image := hub.AddImage("app", "1", []byte("layer"))
		cold := hub.AddImage("app", "2", []byte("another"))
		lists := []string{"/v2/app/tags/list", referrersPath("app", image.Digest)}
		for _, path := range lists {
			r.get(path)
		}
		time.Sleep(time.Hour)
		r.do("HEAD", manifestPath("app", "1")) // whose turn it is
		hub.Reset()
		for _, path := range lists {
			if a := r.get(path); a.StatusCode != 200 {
				t.Errorf("%s: %s", path, a.Status)
			}
		}
		r.pulled(manifestPath("app", "2"), cold.Manifest)
		r.asked("hub", "GET manifest app:2")
		time.Sleep(10 * time.Second)
		r.asked("hub", "GET tags app", "GET referrers app@"+short(image.Digest))
	})
}

// That our own queue is full says nothing of the upstream: it is not called ill, and no name
// goes elsewhere for it.
func TestFullQueueIsNobodysIllness(t *testing.T) {
	timeless(t, "full", func(t *testing.T) {
		var said strings.Builder
		r := newRig(t, plan{
			upstreams: []far{
				{name: "corp", client: func(cfg *upstream.Config) { cfg.Concurrency, cfg.StallTimeout = 1, time.Hour }},
				{name: "hub"},
			},
			registry: func(reg *catalog.Registry) { reg.NextOnError = true },
			log:      &said,
		})
		ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
		r.hubs["corp"].AddImage("app", "2", []byte("our two"))
		r.hubs["hub"].AddImage("app", "2", []byte("evil"))
		r.pulled(manifestPath("app", "1"), ours.Manifest)
		release := make(chan struct{})
		r.hubs["corp"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 1})
		blob := make(chan answer)
		go func() { blob <- r.get(blobPath("app", ours.Layers[0])) }()
		time.Sleep(time.Second)
		a := r.get(manifestPath("app", "2"))
		r.tells(a, failed(503, "UNAVAILABLE", "unavailable", "5"))
		if !strings.Contains(string(a.body), "its turn did not come") {
			t.Errorf("told %s", a.body)
		}
		close(release)
		<-blob
		r.asked("hub")
		if said.String() != "" {
			t.Errorf("logged %s", said.String())
		}
	})
}

// Nor is it when the time that a request may take was over before its turn came.
func TestTurnTooLateIsNobodysIllness(t *testing.T) {
	timeless(t, "late", func(t *testing.T) {
		var said strings.Builder
		r := newRig(t, plan{
			upstreams: []far{
				{name: "corp", client: func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Hour} }},
				{name: "hub"},
			},
			registry: func(reg *catalog.Registry) { reg.NextOnError = true },
			log:      &said,
		})
		ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
		r.pulled(manifestPath("app", "1"), ours.Manifest)
		evil := r.hubs["hub"].AddImage("app", "2", []byte("evil"))
		for _, reference := range []string{"2", evil.Digest.String()} {
			a := r.get(manifestPath("app", reference))
			r.tells(a, failed(503, "UNAVAILABLE", "unavailable", "5"))
			if !strings.Contains(string(a.body), "corp.test: its turn did not come in time") || strings.Contains(string(a.body), "hub.test") {
				t.Errorf("told %s", a.body)
			}
		}
		r.asked("hub")
		if said.String() != "" {
			t.Errorf("logged %s", said.String())
		}
	})
}

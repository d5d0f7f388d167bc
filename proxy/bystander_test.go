package proxy_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// bystanders has two upstreams with images of one name, and registries that lead to them: the
// default one and "pinned" ask a first, "turned" b, and "alone" b only.
func bystanders(t *testing.T, change func(*catalog.Registry)) (r *rig, a, b upstreamtest.Image) {
	t.Helper()
	r = newRig(t, plan{
		upstreams: []far{{name: "a"}, {name: "b"}}, registry: change,
		more: func(up map[string]*catalog.Upstream) []*catalog.Registry {
			return []*catalog.Registry{
				{Name: "pinned", Path: "pinned", Upstreams: []*catalog.Upstream{up["a"], up["b"]}, PinOrigin: true},
				{Name: "turned", Path: "turned", Upstreams: []*catalog.Upstream{up["b"], up["a"]}},
				{Name: "alone", Path: "alone", Upstreams: []*catalog.Upstream{up["b"]}},
			}
		},
	})
	return r, r.hubs["a"].AddImage("app", "1", []byte("of a")), r.hubs["b"].AddImage("app", "1", []byte("of b"))
}

// Who names an upstream, or asks another registry, does not choose what a tag is for others:
// not while the one before it is well, and not while it is ill.
func TestBystandersChooseForNobody(t *testing.T) {
	for name, path := range map[string]string{
		"by host":             manifestPath("b.test/app", "1"),
		"by ns":               manifestPath("app", "1") + "?ns=b.test",
		"in another order":    manifestPath("turned/app", "1"),
		"in a registry alone": manifestPath("alone/app", "1"),
	} {
		timeless(t, name, func(t *testing.T) {
			r, a, b := bystanders(t, nil)
			r.is(r.get(path), b)
			r.hubs["a"].Stop()
			for range 3 { // cold, and when what was named is checked again
				for _, registry := range []string{"", "pinned/"} {
					if got := r.get(manifestPath(registry+"app", "1")); got.StatusCode != 503 {
						t.Errorf("%s while a is down: %s", registry, got.Status)
					}
				}
				time.Sleep(day)
				r.is(r.get(path), b)
			}
			r.hubs["a"].Resume()
			time.Sleep(time.Minute)
			for _, registry := range []string{"", "pinned/"} {
				r.is(r.get(manifestPath(registry+"app", "1")), a)
			}
			r.is(r.get(path), b)
			time.Sleep(day)
			r.is(r.get(manifestPath("pinned/app", "1")), a)
			r.is(r.get(path), b)
		})
	}
}

// Where a tag was found is known to each registry that was led there: one that shares the
// upstream does not undo it.
func TestRegistriesThatShareAnUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{
			upstreams: []far{{name: "a"}, {name: "b"}, {name: "c"}},
			more: func(up map[string]*catalog.Upstream) []*catalog.Registry {
				return []*catalog.Registry{{Name: "other", Path: "other", Upstreams: []*catalog.Upstream{up["c"], up["b"]}}}
			},
		})
		image := r.hubs["b"].AddImage("app", "1", []byte("layer"))
		paths := []string{manifestPath("app", "1"), manifestPath("other/app", "1"), manifestPath("b.test/app", "1")}
		for _, path := range paths {
			r.is(r.get(path), image)
		}
		for range 3 {
			for _, hub := range r.hubs {
				hub.Reset()
			}
			for _, path := range paths {
				r.is(r.get(path), image)
			}
			for _, hub := range []string{"a", "b", "c"} {
				r.asked(hub)
			}
			time.Sleep(day)
			for _, path := range paths {
				r.is(r.get(path), image)
			}
			r.asked("a")
			r.asked("b", "HEAD manifest app:1")
			r.asked("c")
		}
	})
}

// What is held goes before a stranger's, whatever on_error says, as long as it may be served.
func TestHeldGoesBeforeAStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a, b := bystanders(t, func(reg *catalog.Registry) { reg.NextOnError = true })
		r.is(r.get(manifestPath("app", "1")), a)
		r.hubs["a"].Stop()
		for range 29 {
			time.Sleep(day)
			r.is(r.get(manifestPath("app", "1")), a)
		}
		time.Sleep(2 * day)
		r.is(r.get(manifestPath("app", "1")), b)
	})
}

func TestBystandersListIsNotOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := bystanders(t, nil)
		r.hubs["b"].AddImage("app", "2", []byte("of b"))
		const own, others = `"tags":["1"]}`, `"tags":["1","2"]}`
		lists := func(path, want string) {
			t.Helper()
			if a := r.get(path); !strings.Contains(string(a.body), want) {
				t.Errorf("%s: %s %s, want %s", path, a.Status, a.body, want)
			}
		}
		lists("/v2/b.test/app/tags/list", others)
		r.hubs["a"].Stop()
		if a := r.get("/v2/app/tags/list"); a.StatusCode != 503 {
			t.Errorf("while a is down: %s %s", a.Status, a.body)
		}
		r.hubs["a"].Resume()
		time.Sleep(20 * time.Second)
		lists("/v2/app/tags/list", own)
		lists("/v2/b.test/app/tags/list", others)
		lists("/v2/turned/app/tags/list", others)
	})
}

package proxy_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// replan starts the rig's Berth again with other upstreams.
func (r *rig) replan(upstreams ...far) {
	r.tb.Helper()
	for _, f := range upstreams {
		if r.hubs[f.name] == nil {
			r.hubs[f.name] = upstreamtest.New(r.tb)
			r.network.Serve("http://"+f.name+".test", r.hubs[f.name])
		}
	}
	r.plan.upstreams = upstreams
	r.restart()
}

// A new upstream in front gets its say at the next check of a tag, and not before.
func TestNewUpstreamInFront(t *testing.T) {
	rows := []struct {
		name string
		has  bool // the new one has the tag too
		down bool
	}{{name: "has the tag", has: true}, {name: "has it not"}, {name: "is down", has: true, down: true}}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "first"}, {name: "old"}}})
			image := r.hubs["old"].AddImage("app", "1", []byte("of the old one"))
			r.pulled(manifestPath("app", "1"), image.Manifest)
			r.asked("first", "GET manifest app:1")
			r.asked("old", "GET manifest app:1")

			r.replan(far{name: "new"}, far{name: "first"}, far{name: "old"})
			moved := upstreamtest.Image{}
			if row.has {
				moved = r.hubs["new"].AddImage("app", "1", []byte("of the new one"))
			}
			if row.down {
				r.hubs["new"].Stop()
			}
			time.Sleep(day - time.Second)
			r.is(r.get(manifestPath("app", "1")), image)
			for name := range r.hubs {
				r.asked(name)
			}

			time.Sleep(time.Second)
			a := r.get(manifestPath("app", "1"))
			switch {
			case row.down: // its turn is skipped, not lost: the tag's origin answers
				r.tells(a, confirmed())
				r.is(a, image)
				r.asked("first")
				r.asked("old", "HEAD manifest app:1")
				r.hubs["new"].Resume()
				time.Sleep(day)
				r.is(r.get(manifestPath("app", "1")), moved)
				r.asked("new", "HEAD manifest app:1", "GET manifest app@"+short(moved.Digest))
			case row.has:
				r.tells(a, told{Status: 200, CacheStatus: "berth; fwd=stale; stored", Age: "0"})
				r.is(a, moved)
				r.asked("new", "HEAD manifest app:1", "GET manifest app@"+short(moved.Digest))
				r.asked("first")
				r.asked("old")
			default:
				r.tells(a, confirmed())
				r.asked("new", "HEAD manifest app:1")
				r.asked("first", "HEAD manifest app:1")
				r.asked("old", "HEAD manifest app:1")
				time.Sleep(day) // now the new one is known not to have it
				r.tells(r.get(manifestPath("app", "1")), confirmed())
				r.asked("new")
				r.asked("first")
				r.asked("old", "HEAD manifest app:1")
			}
		})
	}
}

// Those who did not have a tag are asked again only when the one that had it has it no more.
func TestOthersAreAskedAgainWhenTheTagIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "a"}, {name: "b"}, {name: "c"}}})
		old := r.hubs["b"].AddImage("app", "1", []byte("b's"))
		r.pulled(manifestPath("app", "1"), old.Manifest)
		inFront := r.hubs["a"].AddImage("app", "1", []byte("a's"))
		time.Sleep(day)
		for _, hub := range r.hubs {
			hub.Reset()
		}
		r.tells(r.get(manifestPath("app", "1")), confirmed())
		r.asked("a")
		r.asked("b", "HEAD manifest app:1")

		time.Sleep(day)
		r.hubs["b"].RemoveTag("app", "1")
		r.is(r.get(manifestPath("app", "1")), inFront)
		r.asked("b", "HEAD manifest app:1")
		r.asked("a", "HEAD manifest app:1", "GET manifest app@"+short(inFront.Digest))
		r.asked("c")
	})
}

// What is kept belongs to an address and an account, not to the name in the configuration.
func TestWhoseCacheItIs(t *testing.T) {
	called := func(name string) func(*catalog.Upstream) {
		return func(u *catalog.Upstream) { u.Name = name }
	}
	rows := []struct {
		name  string
		after far
		kept  bool
	}{
		{"renamed", far{name: "hub", user: "me", password: "secret", change: called("docker-hub")}, true},
		{"another password", far{name: "hub", user: "me", password: "rotated"}, true},
		{"another host name for clients", far{name: "hub", user: "me", password: "secret", hosts: []string{"docker.io"}}, true},
		{"another account", far{name: "hub", user: "you", password: "secret"}, false},
		{"no account", far{name: "hub"}, false},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub", user: "me", password: "secret"}}})
			hub := r.hubs["hub"]
			image := hub.AddImage("app", "1", []byte("layer"))
			r.pulled(manifestPath("app", "1"), image.Manifest)
			r.blobsOf("app", "", image)
			r.get("/v2/app/tags/list")
			r.replan(row.after)
			hub.Reset()
			r.pulled(manifestPath("app", "1"), image.Manifest)
			r.pulled(manifestPath("app", image.Digest.String()), image.Manifest)
			r.blobsOf("app", "", image)
			r.get("/v2/app/tags/list")
			if row.kept {
				r.asked("hub", "GET tags app") // lists are in memory alone
				return
			}
			// The bytes are here, but another account has to prove that it may have them.
			want := []string{
				"GET manifest app:1", "HEAD blob app@" + short(image.Layers[0]),
				"HEAD blob app@" + short(image.Config), "GET tags app",
			}
			if got := hub.Requests(); !slices.Equal(got, want) {
				t.Errorf("asked %q, want %q", got, want)
			}
		})
	}
}

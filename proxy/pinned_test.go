package proxy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// pinned is a registry whose repositories are pinned to their origin.
func pinned(first, second string) plan {
	return plan{
		upstreams: []far{{name: first}, {name: second}},
		registry:  func(reg *catalog.Registry) { reg.PinOrigin = true },
	}
}

func (r *rig) refusals() float64 {
	return r.values()["berth_origin_changes_total{registry=default,result=refused}"]
}

// While the origin is ill nobody else is asked, whatever on_error says: what is held is
// served, and the rest may be at the origin.
func TestPinnedOriginIll(t *testing.T) {
	timeless(t, "ill", func(t *testing.T) {
		p := pinned("corp", "hub")
		p.registry = func(reg *catalog.Registry) { reg.PinOrigin, reg.NextOnError = true, true }
		r := newRig(t, p)
		ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
		r.pulled(manifestPath("app", "1"), ours.Manifest)
		r.pulled("/v2/app/tags/list", []byte(`{"name":"app","tags":["1"]}`))
		for _, tag := range []string{"1", "2"} {
			r.hubs["hub"].AddImage("app", tag, []byte("evil"))
		}
		time.Sleep(25 * time.Hour)
		r.hubs["corp"].Stop()
		for range 3 {
			a := r.pulled(manifestPath("app", "1"), ours.Manifest)
			if got, want := a.Header.Get("Cache-Status"), "berth; hit; fwd=stale; detail=upstream-unavailable"; got != want {
				t.Errorf("Cache-Status %q, want %q", got, want)
			}
		}
		r.tells(r.get(manifestPath("app", "2")), failed(503, "UNAVAILABLE", "unavailable", "5"))
		r.pulled("/v2/app/tags/list", []byte(`{"name":"app","tags":["1"]}`))
		r.asked("hub")
	})
}

// Nor is a signature taken from where the origin's are while the origin itself is ill.
func TestPinnedOriginIllWithSignatures(t *testing.T) {
	timeless(t, "ill", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "corp"}, {name: "hub"}, {name: "scout"}}, registry: func(reg *catalog.Registry) {
			reg.PinOrigin, reg.NextOnError = true, true
			reg.Upstreams[0].Referrers = reg.Upstreams[2]
			reg.Upstreams = reg.Upstreams[:2]
		}})
		ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
		r.pulled(manifestPath("app", "1"), ours.Manifest)
		signed := strings.Replace(ours.Digest.String(), ":", "-", 1) + ".sig"
		theirs := r.hubs["scout"].AddImage("app", signed, []byte("signature"))
		r.hubs["corp"].Stop()
		r.tells(r.get(manifestPath("app", signed)), failed(503, "UNAVAILABLE", "unavailable", "5"))
		r.asked("scout")
		r.hubs["corp"].Resume()
		time.Sleep(time.Minute)
		r.pulled(manifestPath("app", signed), theirs.Manifest)
		r.asked("hub")
	})
}

// unread is a state whose origins cannot be read for a while.
type unread struct {
	*sickState
	keys string // the beginning of what cannot be read; empty reads everything
}

func (s *unread) Get(ctx context.Context, key string) ([]byte, error) {
	if s.keys != "" && strings.HasPrefix(key, s.keys) {
		return nil, context.DeadlineExceeded
	}
	return s.sickState.Get(ctx, key)
}

// Where a repository comes from may be written in a state that cannot be read: then it is
// not for whoever has the name to say, neither now nor for later.
func TestOriginThatCannotBeRead(t *testing.T) {
	for name, isPinned := range map[string]bool{"pinned": true, "not pinned": false} {
		timeless(t, name, func(t *testing.T) {
			s := &unread{sickState: &sickState{}}
			p := pinned("hub", "corp")
			p.state = s
			p.registry = func(reg *catalog.Registry) { reg.PinOrigin = isPinned }
			r := newRig(t, p)
			ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
			r.pulled(manifestPath("app", "1"), ours.Manifest)
			evil := r.hubs["hub"].AddImage("app", "2", []byte("evil"))
			r.hubs["hub"].Tag("app", "1", evil.Digest)
			r.hubs["hub"].Reset()

			r.restart()
			s.keys = "origin"
			r.tells(r.get(manifestPath("app", "1")), told{Status: 200, CacheStatus: "berth; hit", Age: "0"})
			if !isPinned {
				r.pulled(manifestPath("app", "2"), evil.Manifest)
			} else {
				for _, path := range []string{manifestPath("app", "2"), "/v2/app/tags/list"} {
					a := r.get(path)
					r.tells(a, failed(503, "UNAVAILABLE", "unavailable", "5"))
					if !strings.Contains(string(a.body), "berth: the state cannot be read, and so not where the repository comes from") {
						t.Errorf("told %s", a.body)
					}
				}
				time.Sleep(25 * time.Hour)
				a := r.pulled(manifestPath("app", "1"), ours.Manifest)
				if got, want := a.Header.Get("Cache-Status"), "berth; hit; fwd=stale; detail=upstream-unavailable"; got != want {
					t.Errorf("Cache-Status %q, want %q", got, want)
				}
				r.asked("hub")
			}

			r.restart()
			s.keys = ""
			if a := r.get("/v2/app/tags/list"); string(a.body) != `{"name":"app","tags":["1"]}` {
				t.Errorf("the origin was replaced: %s", a.body)
			}
		})
	}
}

// A cold Berth before a state that is away takes nobody's word for a pinned repository.
func TestPinnedWithoutState(t *testing.T) {
	timeless(t, "without", func(t *testing.T) {
		s := &unread{sickState: &sickState{}}
		p := pinned("hub", "corp")
		p.state = s
		r := newRig(t, p)
		ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
		r.pulled(manifestPath("app", "1"), ours.Manifest)
		r.hubs["hub"].AddImage("app", "1", []byte("evil"))
		r.restart()
		s.become(stateFails)
		r.tells(r.get(manifestPath("app", "1")), failed(503, "UNAVAILABLE", "unavailable", "5"))
		s.become(nil)
		r.restart()
		r.pulled(manifestPath("app", "1"), ours.Manifest)
	})
}

// What the origin has not is not there, however the others are.
func TestPinnedMissing(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(r *rig)
		want  told
	}{
		"another is down":    {func(r *rig) { r.hubs["hub"].Stop() }, failed(404, "MANIFEST_UNKNOWN", "not_found", "")},
		"another limits":     {func(r *rig) { r.hubs["hub"].Fail(nil, refusal(429, "TOOMANYREQUESTS")) }, failed(404, "MANIFEST_UNKNOWN", "not_found", "")},
		"another has it not": {func(*rig) {}, failed(404, "MANIFEST_UNKNOWN", "not_found", "")},
		"no repository, another is down": {func(r *rig) {
			r.hubs["hub"].Stop()
			r.hubs["corp"].RemoveRepository("app")
		}, failed(404, "NAME_UNKNOWN", "not_found", "")},
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, pinned("corp", "hub"))
			ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
			r.pulled(manifestPath("app", "1"), ours.Manifest)
			test.fault(r)
			for range 3 {
				r.tells(r.get(manifestPath("app", "2")), test.want)
			}
			if got := r.refusals(); got != 0 {
				t.Errorf("%v alarms", got)
			}
		})
	}
}

// The alarm costs strangers one HEAD for as long as "not here" is believed, and nothing of
// theirs is kept.
func TestPinnedAlarm(t *testing.T) {
	timeless(t, "alarm", func(t *testing.T) {
		r := newRig(t, pinned("corp", "hub"))
		ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
		r.pulled(manifestPath("app", "1"), ours.Manifest)
		theirs := r.hubs["hub"].AddImage("app", "2", []byte("theirs"))
		r.hubs["hub"].Reset()
		for round := range 2 {
			for range 5 {
				a := r.get(manifestPath("app", "2"))
				r.tells(a, failed(404, "MANIFEST_UNKNOWN", "not_found", ""))
				if !strings.Contains(string(a.body), "hub: not taken from here: the repository comes from corp, and pin_origin is set") {
					t.Errorf("told %s", a.body)
				}
			}
			r.asked("hub", "HEAD manifest app:2")
			if got, want := r.refusals(), float64(round+1); got != want {
				t.Errorf("%v alarms, want %v", got, want)
			}
			time.Sleep(time.Minute)
		}
		r.hubs["hub"].Stop()
		if a := r.get(manifestPath("app", theirs.Digest.String())); a.StatusCode == 200 {
			t.Error("the stranger's manifest was kept")
		}
	})
}

// A stranger that is slow to answer keeps nobody waiting for long; the alarm comes behind.
func TestPinnedAlarmIsNotWaitedFor(t *testing.T) {
	timeless(t, "slow", func(t *testing.T) {
		r := newRig(t, pinned("corp", "hub"))
		ours := r.hubs["corp"].AddImage("app", "1", []byte("ours"))
		r.pulled(manifestPath("app", "1"), ours.Manifest)
		r.hubs["hub"].AddImage("app", "2", []byte("theirs"))
		r.hubs["hub"].Fail(nil, upstreamtest.Fault{Delay: 10 * time.Second})
		began := time.Now()
		r.tells(r.get(manifestPath("app", "2")), failed(404, "MANIFEST_UNKNOWN", "not_found", ""))
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("waited for %s, want 4s", took)
		}
		time.Sleep(10 * time.Second)
		if got := r.refusals(); got != 1 {
			t.Errorf("%v alarms, want 1", got)
		}
	})
}

// Where several own a name, the walk is over those: one of them is its origin, and pinned to.
func TestPinnedAmongOwners(t *testing.T) {
	timeless(t, "two own it", func(t *testing.T) {
		owns := func(u *catalog.Upstream) { u.Owns = []string{"acme"} }
		r := newRig(t, plan{
			upstreams: []far{{name: "hub"}, {name: "new", change: owns}, {name: "old", change: owns}},
			registry:  func(reg *catalog.Registry) { reg.PinOrigin = true },
		})
		ours := r.hubs["old"].AddImage("acme/app", "1", []byte("ours"))
		r.pulled(manifestPath("acme/app", "1"), ours.Manifest)
		time.Sleep(time.Hour)
		for _, name := range []string{"hub", "new"} {
			r.hubs[name].AddImage("acme/app", "2", []byte("evil"))
		}
		a := r.get(manifestPath("acme/app", "2"))
		r.tells(a, failed(404, "MANIFEST_UNKNOWN", "not_found", ""))
		if !strings.Contains(string(a.body), "the repository comes from old, and pin_origin is set") || r.refusals() != 1 {
			t.Errorf("%v refusals, told %s", r.refusals(), a.body)
		}
		r.asked("hub")
	})
	timeless(t, "one owns it", func(t *testing.T) {
		p := pinned("hub", "corp")
		p.upstreams[1].change = func(u *catalog.Upstream) { u.Owns = []string{"acme"} }
		r := newRig(t, p)
		r.pulled(manifestPath("acme/app", "1"), r.hubs["corp"].AddImage("acme/app", "1", []byte("ours")).Manifest)
		r.tells(r.get(manifestPath("acme/app", "2")), failed(404, "MANIFEST_UNKNOWN", "not_found", ""))
		r.asked("hub")
	})
}

// Nor does an owner's illness keep a name from its origin, which is another.
func TestOriginAmongOwners(t *testing.T) {
	timeless(t, "two own it", func(t *testing.T) {
		owns := func(u *catalog.Upstream) { u.Owns = []string{"acme"} }
		r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "new", change: owns}, {name: "old", change: owns}}})
		r.pulled(manifestPath("acme/app", "1"), r.hubs["old"].AddImage("acme/app", "1", []byte("one")).Manifest)
		two := r.hubs["old"].AddImage("acme/app", "2", []byte("two"))
		time.Sleep(time.Hour)
		r.hubs["new"].Stop()
		r.pulled(manifestPath("acme/app", "2"), two.Manifest)
		r.asked("hub")
	})
}

package proxy_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// Who names an upstream or a digest does not choose where other people's tags come from.
func TestOriginIsNotForClientsToChoose(t *testing.T) {
	for name, path := range map[string]func(evil string) string{
		"by an upstream's host": func(string) string { return manifestPath("quay.test/victim/app", "evil") },
		"by ns":                 func(string) string { return manifestPath("victim/app", "evil") + "?ns=quay.test" },
		"by a digest":           func(evil string) string { return manifestPath("victim/app", evil) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "quay"}}})
			r.hubs["hub"].AddImage("victim/app", "1", []byte("the right one"))
			evil := r.hubs["quay"].AddImage("victim/app", "evil", []byte("evil"))
			r.hubs["quay"].Tag("victim/app", "1", evil.Digest)
			r.pulled(path(evil.Digest.String()), evil.Manifest)

			a := r.get("/v2/victim/app/tags/list")
			if want := `{"name":"victim/app","tags":["1"]}`; string(a.body) != want {
				t.Errorf("tags: %s, want %s", a.body, want)
			}
			r.hubs["hub"].Stop()
			r.tells(r.get(manifestPath("victim/app", "1")), failed(503, "UNAVAILABLE", "unavailable", "5"))
		})
	}
}

// Nor does who names one by a signature's tag, which has one candidate more.
func TestOriginIsNotForSignaturesToChoose(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "quay"}, {name: "scout"}}, registry: func(reg *catalog.Registry) {
		reg.Upstreams[1].Referrers = reg.Upstreams[2]
		reg.Upstreams = reg.Upstreams[:2]
	}})
	r.hubs["hub"].AddImage("victim/app", "1", []byte("the right one"))
	signed := "sha256-" + strings.Repeat("0", 64) + ".sig"
	evil := r.hubs["quay"].AddImage("victim/app", signed, []byte("evil"))
	r.pulled(manifestPath("quay.test/victim/app", signed), evil.Manifest)
	a := r.get("/v2/victim/app/tags/list")
	if want := `{"name":"victim/app","tags":["1"]}`; string(a.body) != want {
		t.Errorf("tags: %s, want %s", a.body, want)
	}
}

// A tag comes from where it was found, though the repository's origin is another.
func TestHeldTagIsNotReplacedByTheOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "quay"}}})
		one := r.hubs["quay"].AddImage("app", "1", []byte("one"))
		r.pulled(manifestPath("app", "1"), one.Manifest) // quay is the origin
		held := r.hubs["hub"].AddImage("app", "2", []byte("two"))
		r.hubs["quay"].AddImage("app", "2", []byte("quay's two"))
		time.Sleep(2 * time.Minute)
		r.pulled(manifestPath("app", "2"), held.Manifest)
		time.Sleep(day)
		r.hubs["hub"].Stop()
		a := r.pulled(manifestPath("app", "2"), held.Manifest)
		if got, want := a.Header.Get("Cache-Status"), "berth; hit; fwd=stale; detail=upstream-unavailable"; got != want {
			t.Errorf("Cache-Status %q, want %q", got, want)
		}
	})
}

// What an upstream says of something else does not send its tags elsewhere: not a registry
// without the API for referrers that takes such a path for a repository's name, nor a refusal
// while the state could not tell that the repository is known.
func TestHeldTagIsGoneByItsOwnAnswerAlone(t *testing.T) {
	for name, test := range map[string]struct {
		other func(r *rig, image upstreamtest.Image)
		want  told
	}{
		"referrers of a name unknown": {func(r *rig, image upstreamtest.Image) {
			r.hubs["hub"].Fail(upstreamtest.On("GET referrers"), refusal(404, "NAME_UNKNOWN"))
			r.lists(r.get(referrersPath("app", image.Digest)), "")
		}, confirmed()},
		"another tag refused": {func(r *rig, _ upstreamtest.Image) {
			r.plan.state.(*sickState).become(stateFails)
			r.hubs["hub"].Fail(nil, refusal(401, "UNAUTHORIZED"))
			r.get(manifestPath("app", "2"))
		}, stale(day, "credential-refused")},
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}, state: &sickState{}})
			image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
			r.hubs["hub"].Tag("app", "3", image.Digest)
			for _, tag := range []string{"1", "3"} {
				r.hubs["other"].AddImage("app", tag, []byte("a stranger's"))
			}
			r.pulled(manifestPath("app", "1"), image.Manifest)
			r.restart()
			r.pulled(manifestPath("app", "1"), image.Manifest)
			time.Sleep(day)
			test.other(r, image)
			a := r.get(manifestPath("app", "1"))
			r.tells(a, test.want)
			r.is(a, image)
			if test.want.Warning == "" {
				r.pulled(manifestPath("app", "3"), image.Manifest)
			}
		})
	}
}

// A list that is held is not replaced by a stranger's since its own upstream refuses it now.
func TestHeldListIsNotReplacedByAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}})
		r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		r.hubs["other"].AddImage("app", "2", []byte("a stranger's"))
		held := r.get("/v2/app/tags/list")
		r.hubs["hub"].Fail(nil, refusal(401, "UNAUTHORIZED"))
		time.Sleep(time.Hour)
		if a := r.get("/v2/app/tags/list"); string(a.body) != string(held.body) {
			t.Errorf("%s %s, want %s", a.Status, a.body, held.body)
		}
		r.asked("other")
	})
}

// A password that was changed a minute after it last worked does not send a name elsewhere.
func TestJustRevokedCredentialIsNoReasonToAskStrangers(t *testing.T) {
	for name, revoke := range map[string]func(r *rig){
		"token": func(r *rig) { r.hubs["corp"].RequireToken("me", "rotated") },
		"basic": func(r *rig) { r.hubs["corp"].RequireBasic("me", "rotated") },
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "corp", user: "me", password: "secret"}, {name: "public"}}})
			if name == "token" {
				r.hubs["corp"].RequireToken("me", "secret")
			} else {
				r.hubs["corp"].RequireBasic("me", "secret")
			}
			other := r.hubs["corp"].AddImage("other", "1", []byte("other"))
			r.hubs["corp"].AddImage("team/app", "1", []byte("ours"))
			r.hubs["public"].AddImage("team/app", "1", []byte("a stranger's"))
			r.pulled(manifestPath("other", "1"), other.Manifest)
			revoke(r)
			time.Sleep(time.Minute)
			r.tells(r.get(manifestPath("team/app", "1")), failed(502, "UNAVAILABLE", "refused", ""))
			r.asked("public")
		})
	}
}

// A name that one upstream owns is asked for nowhere else, whatever that one says.
func TestOwnedNameGoesNowhereElse(t *testing.T) {
	for name, test := range map[string]struct {
		fault *upstreamtest.Fault
		want  told
	}{
		"missing": {nil, failed(404, "NAME_UNKNOWN", "not_found", "")},
		"ill":     {&upstreamtest.Fault{Status: 418}, failed(503, "UNAVAILABLE", "unavailable", "5")},
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, plan{
				upstreams: []far{{name: "hub"}, {name: "corp", change: func(u *catalog.Upstream) { u.Owns = []string{"acme"} }}},
				registry:  func(reg *catalog.Registry) { reg.NextOnError = true },
			})
			r.hubs["hub"].AddImage("acme/app", "1", []byte("a stranger's"))
			if test.fault != nil {
				r.hubs["corp"].Fail(nil, *test.fault)
			}
			r.tells(r.get(manifestPath("acme/app", "1")), test.want)
			r.get("/v2/acme/app/tags/list")
			r.asked("hub")
		})
	}
}

// The first upstream that had a repository goes on being asked for its tags. Another is not
// believed when that one has them no more: an alarm is raised instead.
func TestPinnedOrigin(t *testing.T) {
	for name, pinned := range map[string]bool{"pinned": true, "not pinned": false} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, plan{
				upstreams: []far{{name: "hub"}, {name: "quay"}},
				registry:  func(reg *catalog.Registry) { reg.PinOrigin = pinned },
			})
			ours := r.hubs["quay"].AddImage("app", "1", []byte("ours"))
			r.pulled(manifestPath("app", "1"), ours.Manifest)
			evil := r.hubs["hub"].AddImage("app", "2", []byte("evil"))
			r.hubs["hub"].Tag("app", "1", evil.Digest)
			two := r.hubs["quay"].AddImage("app", "2", []byte("our two"))
			time.Sleep(25 * time.Hour)

			want, refused, followed := two.Manifest, 0.0, 0.0
			if !pinned {
				want = evil.Manifest
			}
			r.pulled(manifestPath("app", "2"), want) // which both have, hub first
			r.pulled(manifestPath("app", "1"), ours.Manifest)

			r.hubs["quay"].RemoveRepository("app")
			time.Sleep(25 * time.Hour)
			if pinned {
				refused = 2
				for _, tag := range []string{"1", "2"} {
					a := r.get(manifestPath("app", tag))
					r.tells(a, failed(404, "MANIFEST_UNKNOWN", "not_found", ""))
					if !strings.Contains(string(a.body), "the repository comes from quay, and pin_origin is set") {
						t.Errorf("told %s", a.body)
					}
				}
			} else {
				followed = 1
				r.get("/v2/app/tags/list") // which its origin is asked for, and has no such repository
				r.pulled(manifestPath("app", "1"), evil.Manifest)
				r.pulled(manifestPath("app", "2"), evil.Manifest)
			}
			for result, want := range map[string]float64{"refused": refused, "followed": followed} {
				if got := r.values()["berth_origin_changes_total{registry=default,result="+result+"}"]; got != want {
					t.Errorf("%s: %v counted, want %v", result, got, want)
				}
			}
		})
	}
}

package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// sourced is a registry of hub alone, whose referrers are at scout.
func sourced(names ...string) plan {
	return plan{
		upstreams: []far{{name: "hub"}, {name: "scout", user: "me", password: "secret"}},
		registry: func(reg *catalog.Registry) {
			hub, scout := reg.Upstreams[0], reg.Upstreams[1]
			hub.Referrers, hub.ReferrersFor = scout, names
			reg.Upstreams = reg.Upstreams[:1]
		},
	}
}

// Attestations are found where they are kept, and can be pulled under the name of the image;
// what is not there is asked of the upstream itself.
func TestReferrersElsewhere(t *testing.T) {
	timeless(t, "elsewhere", func(t *testing.T) {
		r := newRig(t, sourced("acme"))
		hub, scout := r.hubs["hub"], r.hubs["scout"]
		scout.RequireToken("me", "secret")
		image := hub.AddImage("acme/dhi-app", "1", []byte("layer"))
		hub.AddReferrer("acme/dhi-app", signature, image)
		attested := scout.AddReferrer("acme/dhi-app", sbom, image)
		plain := hub.AddImage("acme/dhi-app", "2", []byte("another"))
		hub.AddReferrer("acme/dhi-app", signature, plain)
		others := hub.AddImage("library/app", "1", []byte("layer"))
		hub.AddReferrer("library/app", signature, others)

		r.lists(r.get(referrersPath("acme/dhi-app", image.Digest)), "", sbom)
		r.pulled(manifestPath("acme/dhi-app", attested.Digest.String()), attested.Manifest)
		r.pulled(blobPath("acme/dhi-app", attested.Config), []byte("{}"))
		r.lists(r.get(referrersPath("acme/dhi-app", plain.Digest)), "", signature)
		scout.Reset()
		r.pulled(manifestPath("acme/dhi-app", attested.Digest.String()), attested.Manifest)
		r.lists(r.get(referrersPath("library/app", others.Digest)), "", signature)
		r.pulled(manifestPath("acme/dhi-app", "1"), image.Manifest)
		r.asked("scout") // held, not meant, and a tag
		signed := strings.Replace(image.Digest.String(), ":", "-", 1) + ".sig"
		theirs := scout.AddImage("acme/dhi-app", signed, []byte("signature"))
		r.pulled(manifestPath("acme/dhi-app", signed), theirs.Manifest) // what cosign does without the API
		scout.Reset()
		if a := r.get(manifestPath("acme/dhi-app", "9")); a.StatusCode != 404 {
			t.Errorf("a tag that scout may have: %d", a.StatusCode)
		}
		r.asked("scout")
	})
}

// A list that lacks what the source knows is no answer: while it is ill the last one is
// served, or none.
func TestReferrersElsewhereIll(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(r *rig)
		// held is the detail of a list that is held; cold, of another.
		held string
		cold told
	}{
		"down":    {func(r *rig) { r.hubs["scout"].Stop() }, "upstream-unavailable", failed(503, "UNAVAILABLE", "unavailable", "5")},
		"refuses": {func(r *rig) { r.hubs["scout"].RequireToken("me", "another") }, "upstream-unavailable", failed(503, "UNAVAILABLE", "unavailable", "5")},
		"limits": {
			func(r *rig) { r.hubs["scout"].Fail(nil, refusal(429, "TOOMANYREQUESTS")) }, "upstream-limited",
			failed(429, "TOOMANYREQUESTS", "limited", "60"),
		},
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, sourced())
			r.hubs["scout"].RequireToken("me", "secret")
			image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
			cold := r.hubs["hub"].AddImage("app", "2", []byte("another"))
			r.hubs["scout"].AddReferrer("app", sbom, image)
			r.hubs["scout"].AddReferrer("app", sbom, cold)
			r.lists(r.get(referrersPath("app", image.Digest)), "", sbom)
			time.Sleep(time.Hour)
			test.fault(r)
			a := r.get(referrersPath("app", image.Digest))
			r.lists(a, "", sbom)
			if got, want := a.Header.Get("Cache-Status"), "berth; hit; fwd=stale; detail="+test.held; got != want {
				t.Errorf("held: %s, want %s", got, want)
			}
			r.tells(r.get(referrersPath("app", cold.Digest)), test.cold)
			r.pulled(manifestPath("app", "1"), image.Manifest)
		})
	}
}

// A source that wants fewer requests is left alone, and nobody else is taken for it.
func TestReferrersElsewhereLimited(t *testing.T) {
	timeless(t, "limited", func(t *testing.T) {
		var said strings.Builder
		p := sourced()
		p.log = &said
		r := newRig(t, p)
		hub, scout := r.hubs["hub"], r.hubs["scout"]
		image := hub.AddImage("app", "1", []byte("layer"))
		scout.Fail(nil, upstreamtest.Fault{Status: 429, Header: http.Header{"Retry-After": {"600"}}})
		for i := range 3 {
			a := r.get(referrersPath("app", image.Digest))
			r.tells(a, failed(429, "TOOMANYREQUESTS", "limited", seconds(10*time.Minute-time.Duration(i)*time.Minute)))
			if !strings.Contains(string(a.body), "hub: its referrers at scout: ") {
				t.Errorf("told %s", a.body)
			}
			time.Sleep(time.Minute)
		}
		r.asked("scout", "GET referrers app@"+short(image.Digest))
		r.pulled(manifestPath("app", "1"), image.Manifest) // hub has said no such thing
		scout.Mend()
		time.Sleep(10 * time.Minute)
		r.lists(r.get(referrersPath("app", image.Digest)), "")
		scout.Fail(nil, upstreamtest.Fault{Status: 418})
		r.get(referrersPath("app", hub.AddImage("app", "2").Digest))
		if !strings.Contains(said.String(), `msg="upstream is ill" upstream=scout`) || strings.Contains(said.String(), "upstream=hub") {
			t.Errorf("logged %s", said.String())
		}
	})
}

// Once a source is known to be ill, nobody waits for it who has a list.
func TestReferrersElsewhereAreNotWaitedFor(t *testing.T) {
	timeless(t, "slow", func(t *testing.T) {
		r := newRig(t, sourced())
		hub, scout := r.hubs["hub"], r.hubs["scout"]
		var paths []string
		for i := range 12 {
			image := hub.AddImage("app", fmt.Sprint(i), fmt.Append(nil, i))
			scout.AddReferrer("app", sbom, image)
			paths = append(paths, referrersPath("app", image.Digest))
			r.lists(r.get(paths[i]), "", sbom)
		}
		time.Sleep(time.Hour)
		scout.Fail(nil, upstreamtest.Fault{Delay: 20 * time.Second})
		var took time.Duration
		for _, path := range paths {
			began := time.Now()
			r.lists(r.get(path), "", sbom)
			took = time.Since(began)
			time.Sleep(30 * time.Second)
		}
		if took > 50*time.Millisecond {
			t.Errorf("the last waited for %s", took)
		}
	})
}

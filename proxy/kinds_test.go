package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// road is what a kind of registry is asked on the way to each answer, in the shorthand of
// kindRig.
type road struct {
	kind                                                           upstreamtest.Kind
	tag, digest, blob, headOfBlob, check, move, tags, referrersOf1 string
}

// roads to kinds that want a token, as they do first; what differs is set below.
func bearer(kind upstreamtest.Kind) road {
	return road{
		kind: kind,
		tag:  "GET app:1, token, GET app:1", digest: "GET app@two", blob: "GET layer", headOfBlob: "HEAD config",
		check: "token, HEAD app:1", move: "token, HEAD app:1, GET app@two",
		tags: "GET tags?n=1, GET tags?last=1&n=1", referrersOf1: "GET referrers of one" + sbomQuery,
	}
}

// open is for kinds that want nothing.
func open(kind upstreamtest.Kind) road {
	r := bearer(kind)
	r.tag, r.check, r.move = "GET app:1", "HEAD app:1", "HEAD app:1, GET app@two"
	return r
}

// stored is for kinds that have their blobs elsewhere.
func (r road) stored() road {
	r.blob, r.headOfBlob = "GET layer, GET storage layer", "HEAD config, HEAD storage config"
	return r
}

const sbomQuery = "?artifactType=" + sbom

func roads() []road {
	ghcr := bearer(upstreamtest.GHCR).stored()
	ghcr.headOfBlob = "HEAD config, HEAD storage config, GET config, GET storage config"
	ecr := open(upstreamtest.ECR).stored()
	ecr.tag = "GET app:1, GET app:1"
	ecrPublic := bearer(upstreamtest.ECRPublic)
	ecrPublic.headOfBlob = "HEAD config, token, HEAD config, token, GET config"
	return []road{
		bearer(upstreamtest.DockerHub).stored(),
		bearer(upstreamtest.DHI),
		open(upstreamtest.MCR).stored(),
		bearer(upstreamtest.Quay),
		ghcr,
		ecr,
		ecrPublic,
		bearer(upstreamtest.GAR),
		{
			kind: upstreamtest.Kubernetes,
			tag:  "GET app:1, GET region's app:1", digest: "GET app@two, GET region's app@two",
			blob: "GET layer, GET storage layer", headOfBlob: "HEAD config, HEAD storage config",
			check: "HEAD app:1, HEAD region's app:1", move: "HEAD app:1, HEAD region's app:1, GET app@two, GET region's app@two",
			tags:         "GET tags?n=1, GET region's tags, GET tags?last=1&n=1, GET region's tags",
			referrersOf1: "GET referrers of one" + sbomQuery + ", GET region's referrers of one",
		},
		bearer(upstreamtest.ACR).stored(),
		bearer(upstreamtest.GitLab),
	}
}

// kindRig is a rig over one registry of a kind, with the images app:1 and app:2 and three
// referrers of the first.
type kindRig struct {
	*rig
	hub      *upstreamtest.Registry
	one, two upstreamtest.Image
	short    *strings.Replacer
	began    time.Time
}

// wantsLogin are the kinds that let nobody in without one.
func wantsLogin(kind upstreamtest.Kind) bool {
	return kind == upstreamtest.DHI || kind == upstreamtest.ECR
}

func newKindRig(t *testing.T, kind upstreamtest.Kind, login bool) *kindRig {
	t.Helper()
	f := far{name: "hub", kind: kind, change: func(u *catalog.Upstream) { u.Validity = time.Minute }}
	if login {
		f.user, f.password = "me", "secret"
	}
	r := &kindRig{began: time.Now(), rig: newRig(t, plan{upstreams: []far{f, {name: "other"}}})}
	r.hub = r.hubs["hub"]
	if login {
		r.hub.Login("me", "secret")
	}
	r.one = r.hub.AddImage("app", "1", []byte("layer"))
	r.two = r.hub.AddImage("app", "2", []byte("layer of two"))
	r.hub.AddReferrer("app", sbom, r.one)
	r.hub.AddReferrer("app", "application/vnd.example.other", r.one)
	r.short = strings.NewReplacer(
		"GET token repository:app:pull", "token", "GET other /v2/", "ping",
		"manifest app", "app", "manifest k8s-artifacts-prod/images/app", "region's app",
		"tags app", "tags", "tags k8s-artifacts-prod/images/app", "region's tags",
		"referrers app@", "referrers of ", "referrers k8s-artifacts-prod/images/app@", "region's referrers of ",
		"blob app@", "", short(r.one.Digest), "one", short(r.two.Digest), "two",
		short(r.one.Layers[0]), "layer", short(r.one.Config), "config",
	)
	return r
}

// asks compares what the kind was asked since the last time with want.
func (r *kindRig) asks(what, want string) {
	r.tb.Helper()
	got := r.short.Replace(strings.Join(r.hub.Requests(), ", "))
	r.hub.Reset()
	if got != want {
		r.tb.Errorf("%s: asked\n  %s\nwant\n  %s", what, got, want)
	}
}

func missed() told { return told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"} }

// A pull from beginning to end, through every kind of registry that there is.
func TestPullThroughEveryKind(t *testing.T) {
	for _, want := range roads() {
		timeless(t, string(want.kind), func(t *testing.T) {
			r := newKindRig(t, want.kind, wantsLogin(want.kind))
			r.tells(r.pulled(manifestPath("app", "1"), r.one.Manifest), missed())
			r.asks("a tag", want.tag)
			time.Sleep(time.Second)
			r.tells(r.pulled(manifestPath("app", r.two.Digest.String()), r.two.Manifest), missed())
			r.asks("a digest", want.digest)
			r.tells(r.pulled(blobPath("app", r.one.Layers[0]), []byte("layer")), missed())
			r.asks("a blob", want.blob)
			r.tells(r.do("HEAD", blobPath("app", r.one.Config)), missed())
			r.asks("a blob's HEAD", want.headOfBlob)

			time.Sleep(2 * time.Minute)
			r.tells(r.pulled(manifestPath("app", "1"), r.one.Manifest), confirmed())
			r.asks("a check", want.check)
			time.Sleep(2 * time.Minute)
			two := r.hub.AddImage("app", "1", []byte("layer of two, again"))
			r.tells(r.pulled(manifestPath("app", "1"), two.Manifest), told{Status: 200, CacheStatus: "berth; fwd=stale; stored", Age: "0"})
			r.asks("a tag that moved", strings.ReplaceAll(want.move, "two", short(two.Digest)))

			r.pages(want)
		})
	}
}

func (r *kindRig) pages(want road) {
	r.tb.Helper()
	first := tagsOf(r.rig, r.get("/v2/app/tags/list?n=1"))
	second := tagsOf(r.rig, r.get(first.next))
	if diff := cmp.Diff([]string{"1", "2"}, append(first.Tags, second.Tags...)); diff != "" || second.next != "" {
		r.tb.Errorf("tags (-want +got):\n%snext %q", diff, second.next)
	}
	r.asks("tags", want.tags)
	a := r.get(referrersPath("app", r.one.Digest) + sbomQuery)
	if want.kind == upstreamtest.Kubernetes { // which never learns of the filter
		if types := refers(r.rig, a); len(types) != 2 || a.Header.Get("OCI-Filters-Applied") != "" {
			r.tb.Errorf("referrers %q: %v", types, a.Header)
		}
	} else {
		r.lists(a, "artifactType", sbom)
	}
	r.asks("referrers", want.referrersOf1)
}

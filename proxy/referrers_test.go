package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const (
	sbom      = "application/vnd.example.sbom"
	signature = "application/vnd.example.signature"
	emptyList = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
)

func referrersPath(repo string, d digest.Digest) string {
	return "/v2/" + repo + "/referrers/" + d.String()
}

// refers is the artifact types of an answer's list, which must be an index.
func refers(r *rig, a answer) []string {
	r.tb.Helper()
	var index ocispec.Index
	if err := json.Unmarshal(a.body, &index); a.StatusCode != 200 || err != nil || index.Manifests == nil ||
		index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || a.Header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
		r.tb.Fatalf("%s, %q, is no list of referrers: %v\n%s", a.Status, a.Header.Get("Content-Type"), err, first(a.body))
	}
	types := []string{}
	for _, m := range index.Manifests {
		types = append(types, m.ArtifactType)
	}
	return types
}

// lists compares an answer's artifact types and filters with what is wanted.
func (r *rig) lists(a answer, filters string, want ...string) {
	r.tb.Helper()
	if diff := cmp.Diff(want, refers(r, a), emptyIsNil); diff != "" {
		r.tb.Errorf("%s (-want +got):\n%s", a.Request.URL, diff)
	}
	if got := a.Header.Get("OCI-Filters-Applied"); got != filters {
		r.tb.Errorf("%s: filters %q, want %q", a.Request.URL, got, filters)
	}
}

func TestReferrersQueryIsPassedOnAndKeptApart(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	hub := r.hubs["hub"]
	image := hub.AddImage("app", "1", []byte("layer"))
	hub.AddReferrer("app", sbom, image)
	hub.AddReferrer("app", signature, image)
	path := referrersPath("app", image.Digest)
	ask := "GET referrers app@" + short(image.Digest)
	rows := []struct{ query, asked, filters string }{
		{"", ask, ""},
		{"?artifactType=" + sbom, ask + "?artifactType=" + sbom, "artifactType"},
		{"?artifactType=" + sbom + "&predicateType=a&predicateType=b", ask + "?artifactType=" + sbom + "&predicateType=a&predicateType=b", "artifactType"},
		{"?artifactType=" + sbom + "&predicateType=b&predicateType=a", ask + "?artifactType=" + sbom + "&predicateType=b&predicateType=a", "artifactType"},
		{"?ns=hub.test&artifactType=" + signature, ask + "?artifactType=" + signature, "artifactType"},
		{"?artifactType=" + sbom + "&artifactType=" + signature, ask + "?artifactType=" + sbom + "&artifactType=" + signature, "artifactType"},
	}
	for _, row := range rows {
		a := r.get(path + row.query)
		r.asked("hub", row.asked)
		for _, typ := range []string{sbom, signature} {
			want := row.filters == "" || strings.Contains(row.query, typ)
			if got := strings.Contains(strings.Join(refers(r, a), " "), typ); got != want {
				t.Errorf("%s: has %s: %t, want %t", row.query, typ, got, want)
			}
		}
		if got := a.Header.Get("OCI-Filters-Applied"); got != row.filters {
			t.Errorf("%s: filters %q, want %q", row.query, got, row.filters)
		}
		if again := r.get(path + row.query); string(again.body) != string(a.body) {
			t.Errorf("%s: other bytes the second time", row.query)
		}
		r.asked("hub")
	}
}

// tagAsReferrers pushes the fallback tag of subject, as clients do without the API.
func tagAsReferrers(hub *upstreamtest.Registry, subject digest.Digest, types ...string) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for _, typ := range types {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(typ), Size: int64(len(typ)), ArtifactType: typ,
		})
	}
	body, err := json.Marshal(index)
	if err != nil {
		panic(err)
	}
	hub.AddManifest("app", fallbackTag(subject), index.MediaType, body)
}

func fallbackTag(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded()[:64] }

func TestReferrersWithoutTheAPI(t *testing.T) {
	wrongType := upstreamtest.Fault{MediaType: "text/html"}
	listType := upstreamtest.Fault{MediaType: "application/json"}
	rows := []struct {
		name  string
		fault upstreamtest.Fault
	}{
		{"404", upstreamtest.Fault{Status: 404}},
		{"404 web page", page(404)},
		{"404 with a code", refusal(404, "UNSUPPORTED")},
		{"400", refusal(400, "UNSUPPORTED")},
		{"405", refusal(405, "UNSUPPORTED")},
		{"406", refusal(406, "UNSUPPORTED")},
		{"200 web page", wrongType},
		{"200 of another type", listType},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			hub := r.hubs["hub"]
			image := hub.AddImage("app", "1", []byte("layer"))
			bare := hub.AddImage("app", "2", []byte("another"))
			tagAsReferrers(hub, image.Digest, sbom, signature, sbom)
			hub.Fail(upstreamtest.On("GET referrers"), row.fault)

			path := referrersPath("app", image.Digest)
			r.lists(r.get(path), "", sbom, signature, sbom)
			r.asked("hub", "GET referrers app@"+short(image.Digest), "GET manifest app:"+fallbackTag(image.Digest))
			r.lists(r.get(path+"?artifactType="+sbom), "artifactType", sbom, sbom)
			r.lists(r.get(path+"?artifactType=none"), "artifactType")
			r.lists(r.get(path+"?artifactType=none&artifactType="+signature), "artifactType", signature)
			hub.Reset()

			a := r.get(referrersPath("app", bare.Digest))
			r.asked("hub", "GET referrers app@"+short(bare.Digest), "GET manifest app:"+fallbackTag(bare.Digest))
			if string(a.body) != emptyList {
				t.Errorf("without the tag: %s, want an empty index", a.body)
			}
			r.lists(a, "")
			r.get(referrersPath("app", bare.Digest))
			r.asked("hub")
		})
	}
}

// The specification cuts the digest of the fallback tag at 64 characters.
func TestFallbackTagOfASHA512(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	hub := r.hubs["hub"]
	hub.Referrers(false)
	hub.AddImage("app", "1", []byte("layer"))
	subject := digest.SHA512.FromString("subject")
	tagAsReferrers(hub, subject, sbom)
	r.lists(r.get(referrersPath("app", subject)), "", sbom)
}

func TestReferrersFallbackThatCannotBeHad(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	hub := r.hubs["hub"]
	hub.Referrers(false)
	image := hub.AddImage("app", "1", []byte("layer"))
	hub.Fail(upstreamtest.On("GET manifest"), page(403))
	r.tells(r.get(referrersPath("app", image.Digest)), failed(503, "UNAVAILABLE", "unavailable", "5"))
}

// Whose referrers a name without origin has: those of the first that knows the repository
// and, where there is no API to say so, the digest.
func TestReferrersAmongThree(t *testing.T) {
	without := func(hub *upstreamtest.Registry) { hub.Referrers(false) }
	rows := []struct {
		name   string
		set    func(r *rig, subject upstreamtest.Image)
		want   []string
		status int
		code   string
		asked  string
	}{
		{name: "the first has the repository", set: func(r *rig, subject upstreamtest.Image) {
			r.hubs["a"].AddImage("app", "1", []byte("other"))
			r.hubs["b"].AddImage("app", "1", []byte("layer"))
			r.hubs["b"].AddReferrer("app", sbom, subject)
		}, status: 200, asked: "a"},
		{name: "only the second knows the repository", set: func(r *rig, subject upstreamtest.Image) {
			r.hubs["b"].AddImage("app", "1", []byte("layer"))
			r.hubs["b"].AddReferrer("app", sbom, subject)
		}, status: 200, want: []string{sbom}, asked: "a b"},
		{name: "the first has no API and not the digest", set: func(r *rig, subject upstreamtest.Image) {
			without(r.hubs["a"])
			r.hubs["a"].AddImage("app", "1", []byte("other"))
			r.hubs["b"].AddImage("app", "1", []byte("layer"))
			r.hubs["b"].AddReferrer("app", sbom, subject)
		}, status: 200, want: []string{sbom}, asked: "a b"},
		{name: "the first has no API, but the digest", set: func(r *rig, _ upstreamtest.Image) {
			without(r.hubs["a"])
			r.hubs["a"].AddImage("app", "1", []byte("layer"))
			r.hubs["b"].AddImage("app", "1", []byte("layer"))
		}, status: 200, asked: "a"},
		{name: "nobody knows the repository", set: func(*rig, upstreamtest.Image) {}, status: 404, code: "NAME_UNKNOWN", asked: "a b c"},
		{name: "the first is ill", set: func(r *rig, subject upstreamtest.Image) {
			r.hubs["a"].Fail(nil, page(403))
			r.hubs["b"].AddReferrer("app", sbom, subject)
		}, status: 503, code: "UNAVAILABLE", asked: "a"},
		{name: "the last is the origin", set: func(r *rig, subject upstreamtest.Image) {
			r.pulled(manifestPath("app", "1"), r.hubs["c"].AddImage("app", "1", []byte("layer")).Manifest)
			r.hubs["a"].AddReferrer("app", signature, subject)
			r.hubs["c"].AddReferrer("app", sbom, subject)
		}, status: 200, want: []string{sbom}, asked: "c"},
	}
	subject := upstreamtest.New(t).AddImage("app", "1", []byte("layer"))
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "a"}, {name: "b"}, {name: "c"}}})
			row.set(r, subject)
			for _, hub := range r.hubs {
				hub.Reset()
			}
			a := r.get(referrersPath("app", subject.Digest))
			if got := tell(a); got.Status != row.status || got.Code != row.code {
				t.Fatalf("%d %s, want %d %s\n%s", got.Status, got.Code, row.status, row.code, a.body)
			}
			if row.status == 200 {
				r.lists(a, "", row.want...)
			}
			var asked []string
			for _, name := range []string{"a", "b", "c"} {
				if r.hubs[name].Count("") > 0 {
					asked = append(asked, name)
				}
			}
			if got := strings.Join(asked, " "); got != row.asked {
				t.Errorf("asked were %q, want %q", got, row.asked)
			}
		})
	}
}

func TestReferrersNextPageLeadsToUs(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}, more: func(u map[string]*catalog.Upstream) []*catalog.Registry {
		return []*catalog.Registry{{Name: "team", Path: "team/x", Upstreams: []*catalog.Upstream{u["hub"]}}}
	}})
	hub := r.hubs["hub"]
	image := hub.AddImage("app", "1", []byte("layer"))
	const more = "artifactType=a%2Fb&page=2"
	link := http.Header{"Link": {"<http://hub.test" + referrersPath("app", image.Digest) + "?" + more + `>; rel="next"`}}
	hub.Fail(func(q *http.Request) bool { return q.URL.Query().Get("page") == "" }, upstreamtest.Fault{Header: link})
	for path, want := range map[string]string{
		referrersPath("app", image.Digest):                                   more,
		referrersPath("app", image.Digest) + "?ns=hub.test":                  more + "&ns=hub.test",
		referrersPath("hub.test/app", image.Digest) + "?artifactType=a%2Fb":  more,
		referrersPath("team/x/app", image.Digest):                            more,
		"/team/x" + referrersPath("app", image.Digest) + "?artifactType=a/b": more,
	} {
		bare, _, _ := strings.Cut(path, "?")
		to := next(r.get(path))
		if to != bare+"?"+want {
			t.Errorf("%s: next page %q, want %q", path, to, bare+"?"+want)
		}
		hub.Reset()
		if last := next(r.get(to)); last != "" {
			t.Errorf("%s: next page %q after the last", to, last)
		}
		if asked := hub.Requests(); len(asked) > 0 && asked[0] != "GET referrers app@"+short(image.Digest)+"?"+more {
			t.Errorf("%s: upstream was asked %q", to, asked)
		}
	}
	elsewhere := hub.AddImage("app", "2", []byte("another"))
	hub.Mend()
	hub.Fail(nil, upstreamtest.Fault{Header: http.Header{"Link": {`<http://169.254.169.254/latest?x=y>; rel="next"`}}})
	if to := next(r.get(referrersPath("app", elsewhere.Digest))); to != "" {
		t.Errorf("next page %q of a link to another host", to)
	}
}

func TestReferrersAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		image := hub.AddImage("app", "1", []byte("layer"))
		hub.AddReferrer("app", sbom, image)
		path := referrersPath("app", image.Digest)
		r.tells(r.get(path), told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
		hub.AddReferrer("app", signature, image)
		time.Sleep(time.Minute - time.Second)
		a := r.get(path)
		r.tells(a, hit(time.Minute-time.Second))
		r.lists(a, "", sbom)
		hub.Stop()
		time.Sleep(time.Second)
		want := stale(time.Minute, "upstream-unavailable")
		want.Warning = ""
		a = r.get(path)
		r.tells(a, want)
		r.lists(a, "", sbom)
		hub.Resume()
		a = r.get(path)
		r.tells(a, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
		if got := len(refers(r, a)); got != 2 {
			t.Errorf("%d referrers after the check, want 2", got)
		}
	})
}

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

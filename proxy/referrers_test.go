package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
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

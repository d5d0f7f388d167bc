package catalog_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
)

// Where a name leads when no host is in it: by Host header, then by the longest path,
// then by default.
func TestRouteRegistry(t *testing.T) {
	all, team := list("hub", "quay", "mcr"), list("quay", "hub", "corp")
	runRoutes(t, snapshot(t, registries()), []routeCase{
		{"default", catalog.Query{Name: "prometheus/prometheus"}, led{Registry: "all", Repository: "prometheus/prometheus", Candidates: all}},
		{"default, one word: a walk adds no library", catalog.Query{Name: "python"}, led{Registry: "all", Repository: "python", Candidates: all}},
		{"default, host unknown", catalog.Query{Host: "berth.corp:5000", Name: "python"}, led{Registry: "all", Repository: "python", Candidates: all}},
		{"path", catalog.Query{Name: "team/app"}, led{Registry: "team", Repository: "app", Candidates: team}},
		{"path, deep repository", catalog.Query{Name: "team/a/b/c"}, led{Registry: "team", Repository: "a/b/c", Candidates: team}},
		{"longest path", catalog.Query{Name: "team/prod/app"}, led{Registry: "prod", Repository: "app", Candidates: list("mcr")}},
		{"path is of whole words", catalog.Query{Name: "teams/app"}, led{Registry: "all", Repository: "teams/app", Candidates: all}},
		{"longer path is of whole words", catalog.Query{Name: "team/production/app"}, led{Registry: "team", Repository: "production/app", Candidates: team}},
		{"path not at the beginning", catalog.Query{Name: "a/team/app"}, led{Registry: "all", Repository: "a/team/app", Candidates: all}},
		{"path with one upstream, Docker Hub not chosen", catalog.Query{Name: "mirror/alpine"}, led{Registry: "mirror", Repository: "alpine", Candidates: list("hub", "quay")}},
		{"host", catalog.Query{Host: "mirror.local", Name: "a/b"}, led{Registry: "mirror", Repository: "a/b", Candidates: list("hub", "quay")}},
		{"host, any port", catalog.Query{Host: "mirror.local:5000", Name: "a/b"}, led{Registry: "mirror", Repository: "a/b", Candidates: list("hub", "quay")}},
		{"host, upper case", catalog.Query{Host: "Mirror.LOCAL:5000", Name: "a/b"}, led{Registry: "mirror", Repository: "a/b", Candidates: list("hub", "quay")}},
		{"host with its port", catalog.Query{Host: "edge.local:8443", Name: "a/b"}, led{Registry: "mirror", Repository: "a/b", Candidates: list("hub", "quay")}},
		{"host with another port", catalog.Query{Host: "edge.local:443", Name: "a/b"}, led{Registry: "all", Repository: "a/b", Candidates: all}},
		{"host without the port it has", catalog.Query{Host: "edge.local", Name: "a/b"}, led{Registry: "all", Repository: "a/b", Candidates: all}},
		{"address in brackets", catalog.Query{Host: "[::1]", Name: "a/b"}, led{Registry: "mirror", Repository: "a/b", Candidates: list("hub", "quay")}},
		{"address in brackets, any port", catalog.Query{Host: "[::1]:5000", Name: "a/b"}, led{Registry: "mirror", Repository: "a/b", Candidates: list("hub", "quay")}},
		{"host before path: a path is a repository there", catalog.Query{Host: "mirror.local", Name: "team/prod/app"}, led{Registry: "mirror", Repository: "team/prod/app", Candidates: list("hub", "quay")}},
		{"host before path: a path alone is a repository there", catalog.Query{Host: "mirror.local", Name: "team"}, led{Registry: "mirror", Repository: "team", Candidates: list("hub", "quay")}},
	})
}

// A host in the name chooses one upstream of the registry, of no other.
func TestRouteHostSegment(t *testing.T) {
	runRoutes(t, snapshot(t, registries()), []routeCase{
		{"one upstream", catalog.Query{Name: "quay.io/prometheus/prometheus"}, led{Registry: "all", Repository: "prometheus/prometheus", Candidates: list("quay")}},
		{"no library but on Docker Hub", catalog.Query{Name: "quay.io/busybox"}, led{Registry: "all", Repository: "busybox", Candidates: list("quay")}},
		{"Docker Hub, official image", catalog.Query{Name: "docker.io/alpine"}, led{Registry: "all", Repository: "library/alpine", Candidates: list("hub")}},
		{"Docker Hub, library given", catalog.Query{Name: "docker.io/library/alpine"}, led{Registry: "all", Repository: "library/alpine", Candidates: list("hub")}},
		{"Docker Hub, somebody's image", catalog.Query{Name: "docker.io/grafana/grafana"}, led{Registry: "all", Repository: "grafana/grafana", Candidates: list("hub")}},
		{"Docker Hub by another name", catalog.Query{Name: "index.docker.io/alpine"}, led{Registry: "all", Repository: "library/alpine", Candidates: list("hub")}},
		{"Docker Hub by its URL's name", catalog.Query{Name: "registry-1.docker.io/alpine"}, led{Registry: "all", Repository: "library/alpine", Candidates: list("hub")}},
		{"after a path", catalog.Query{Name: "team/docker.io/alpine"}, led{Registry: "team", Repository: "library/alpine", Candidates: list("hub")}},
		{"after the longest path", catalog.Query{Name: "team/prod/mcr.microsoft.com/dotnet/sdk"}, led{Registry: "prod", Repository: "dotnet/sdk", Candidates: list("mcr")}},
		{"after a Host", catalog.Query{Host: "mirror.local", Name: "docker.io/alpine"}, led{Registry: "mirror", Repository: "library/alpine", Candidates: list("hub")}},
		{"dot in a later word is a repository's", catalog.Query{Name: "acme/quay.io/app"}, led{Registry: "all", Repository: "acme/quay.io/app", Candidates: list("hub", "quay", "mcr")}},
		{"word with a dot after a host is a repository's", catalog.Query{Name: "quay.io/docker.io/app"}, led{Registry: "all", Repository: "docker.io/app", Candidates: list("quay")}},
		{"none of them", catalog.Query{Name: "ghcr.io/org/app"}, led{Unknown: "no upstream of registry all is called ghcr.io; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"repository with a dot and no host", catalog.Query{Name: "my.app"}, led{Unknown: "no upstream of registry all is called my.app; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"an upstream of another registry", catalog.Query{Name: "team/prod/quay.io/app"}, led{Unknown: "no upstream of registry prod is called quay.io; it has mcr.microsoft.com"}},
		{"an upstream of another registry than the Host's", catalog.Query{Host: "mirror.local", Name: "mcr.microsoft.com/dotnet/sdk"}, led{Unknown: "no upstream of registry mirror is called mcr.microsoft.com; it has docker.io, quay.io"}},
		{"only a host", catalog.Query{Name: "docker.io"}, led{Unknown: "docker.io names a registry or an upstream, not a repository: put the repository's name after it"}},
		{"only a path", catalog.Query{Name: "team"}, led{Unknown: "team names a registry or an upstream, not a repository: put the repository's name after it"}},
		{"only a longer path", catalog.Query{Name: "team/prod"}, led{Unknown: "team/prod names a registry or an upstream, not a repository: put the repository's name after it"}},
		{"only a path and a host", catalog.Query{Name: "team/quay.io"}, led{Unknown: "team/quay.io names a registry or an upstream, not a repository: put the repository's name after it"}},
	})
}

// ns chooses like a host in the name, and must not contradict it.
func TestRouteNamespace(t *testing.T) {
	long := strings.Repeat("x", 65)
	runRoutes(t, snapshot(t, registries()), []routeCase{
		{"one upstream", catalog.Query{Name: "prometheus/prometheus", Namespace: "quay.io"}, led{Registry: "all", Repository: "prometheus/prometheus", Candidates: list("quay"), Namespace: "quay.io"}},
		{"Docker Hub, official image", catalog.Query{Name: "alpine", Namespace: "docker.io"}, led{Registry: "all", Repository: "library/alpine", Candidates: list("hub"), Namespace: "docker.io"}},
		{"Docker Hub, library given", catalog.Query{Name: "library/alpine", Namespace: "docker.io"}, led{Registry: "all", Repository: "library/alpine", Candidates: list("hub"), Namespace: "docker.io"}},
		{"no library but on Docker Hub", catalog.Query{Name: "busybox", Namespace: "quay.io"}, led{Registry: "all", Repository: "busybox", Candidates: list("quay"), Namespace: "quay.io"}},
		{"upper case, answered as it came", catalog.Query{Name: "a/b", Namespace: "QUAY.io"}, led{Registry: "all", Repository: "a/b", Candidates: list("quay"), Namespace: "QUAY.io"}},
		{"host without a dot", catalog.Query{Name: "team/app", Namespace: "harbor"}, led{Registry: "team", Repository: "app", Candidates: list("corp"), Namespace: "harbor"}},
		{"host with its port", catalog.Query{Name: "team/app", Namespace: "harbor.corp:5000"}, led{Registry: "team", Repository: "app", Candidates: list("corp"), Namespace: "harbor.corp:5000"}},
		{"after a Host", catalog.Query{Host: "mirror.local", Name: "alpine", Namespace: "docker.io"}, led{Registry: "mirror", Repository: "library/alpine", Candidates: list("hub"), Namespace: "docker.io"}},
		{"agrees with the name", catalog.Query{Name: "quay.io/a/b", Namespace: "quay.io"}, led{Registry: "all", Repository: "a/b", Candidates: list("quay"), Namespace: "quay.io"}},
		{"agrees by another name", catalog.Query{Name: "index.docker.io/alpine", Namespace: "docker.io"}, led{Registry: "all", Repository: "library/alpine", Candidates: list("hub"), Namespace: "docker.io"}},
		{"disagrees with the name", catalog.Query{Name: "quay.io/a/b", Namespace: "docker.io"}, led{Unknown: "the name asks for quay and ns for hub: use one of them"}},
		{"good, the name's host not", catalog.Query{Name: "ghcr.io/a/b", Namespace: "quay.io"}, led{Unknown: "no upstream of registry all is called ghcr.io; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"unknown", catalog.Query{Name: "a/b", Namespace: "ghcr.io"}, led{Unknown: "no upstream of registry all is called ns=ghcr.io; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"of another registry", catalog.Query{Name: "team/prod/a", Namespace: "quay.io"}, led{Unknown: "no upstream of registry prod is called ns=quay.io; it has mcr.microsoft.com"}},
		{"another port", catalog.Query{Name: "team/app", Namespace: "harbor.corp:5001"}, led{Unknown: "no upstream of registry team is called ns=harbor.corp:5001; it has quay.io, docker.io, harbor"}},
		{"an upstream's configured name is no host", catalog.Query{Name: "a/b", Namespace: "quay"}, led{Unknown: "no upstream of registry all is called ns=quay; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"a URL", catalog.Query{Name: "a/b", Namespace: "https://quay.io"}, led{Unknown: "no upstream of registry all is called ns=https://quay.io; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"an address inside", catalog.Query{Name: "a/b", Namespace: "169.254.169.254"}, led{Unknown: "no upstream of registry all is called ns=169.254.169.254; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"long ones are cut in the message", catalog.Query{Name: "a/b", Namespace: long}, led{Unknown: "no upstream of registry all is called ns=" + long[:64] + "…; it has docker.io, quay.io, mcr.microsoft.com"}},
	})
}

// A ping asks whether the way leads anywhere, and needs no repository at its end.
func TestRoutePing(t *testing.T) {
	all := list("hub", "quay", "mcr")
	runRoutes(t, snapshot(t, registries()), []routeCase{
		{"bare", catalog.Query{Ping: true}, led{Registry: "all", Candidates: all}},
		{"path", catalog.Query{Ping: true, Name: "team"}, led{Registry: "team", Candidates: list("quay", "hub", "corp")}},
		{"longest path", catalog.Query{Ping: true, Name: "team/prod"}, led{Registry: "prod", Candidates: list("mcr")}},
		{"Host", catalog.Query{Ping: true, Host: "mirror.local:80"}, led{Registry: "mirror", Candidates: list("hub", "quay")}},
		{"ns", catalog.Query{Ping: true, Namespace: "quay.io"}, led{Registry: "all", Candidates: all, Namespace: "quay.io"}},
		{"upstream", catalog.Query{Ping: true, Name: "docker.io"}, led{Registry: "all", Candidates: all}},
		{"upstream of a path", catalog.Query{Ping: true, Name: "team/docker.io"}, led{Registry: "team", Candidates: list("quay", "hub", "corp")}},
		{"beginning of a repository's name", catalog.Query{Ping: true, Name: "library"}, led{Registry: "all", Candidates: all}},
		{"unknown upstream", catalog.Query{Ping: true, Name: "ghcr.io"}, led{Unknown: "no upstream of registry all is called ghcr.io; it has docker.io, quay.io, mcr.microsoft.com"}},
		{"unknown ns", catalog.Query{Ping: true, Namespace: "ghcr.io"}, led{Unknown: "no upstream of registry all is called ns=ghcr.io; it has docker.io, quay.io, mcr.microsoft.com"}},
	})
}

func TestRouteWithoutDefaultRegistry(t *testing.T) {
	runRoutes(t, snapshot(t, registries()[1:]), []routeCase{
		{"path", catalog.Query{Name: "team/app"}, led{Registry: "team", Repository: "app", Candidates: list("quay", "hub", "corp")}},
		{"Host", catalog.Query{Host: "mirror.local", Name: "app"}, led{Registry: "mirror", Repository: "app", Candidates: list("hub", "quay")}},
		{"one word", catalog.Query{Name: "alpine"}, led{Unknown: "there is no registry at alpine and no default registry"}},
		{"several words", catalog.Query{Name: "library/alpine"}, led{Unknown: "there is no registry at library and no default registry"}},
		{"an upstream's host", catalog.Query{Name: "quay.io/a/b"}, led{Unknown: "there is no registry at quay.io and no default registry"}},
		{"ns needs a registry too", catalog.Query{Name: "a/b", Namespace: "quay.io"}, led{Unknown: "there is no registry at a and no default registry"}},
		{"long names are cut in the message", catalog.Query{Name: strings.Repeat("x", 65)}, led{Unknown: "there is no registry at " + strings.Repeat("x", 64) + "… and no default registry"}},
		{"bare ping: clients send it before they say a name", catalog.Query{Ping: true}, led{}},
		{"ping of a path", catalog.Query{Ping: true, Name: "team"}, led{Registry: "team", Candidates: list("quay", "hub", "corp")}},
		{"ping of nothing known", catalog.Query{Ping: true, Name: "nowhere"}, led{Unknown: "there is no registry at nowhere and no default registry"}},
	})
}

// What an upstream owns is asked for nowhere else, unless its client names another.
func TestRouteOwned(t *testing.T) {
	own := func(u *catalog.Upstream, names ...string) *catalog.Upstream {
		with := *u
		with.Owns = names
		return &with
	}
	s := snapshot(t, []*catalog.Registry{
		{Name: "all", Upstreams: []*catalog.Upstream{hub, own(quay, "acme", "shared"), own(mcr, "acme/tools", "shared", "my.team/app")}},
		{Name: "team", Path: "team", Upstreams: []*catalog.Upstream{hub, quay}},
	})
	all := list("hub", "quay", "mcr")
	runRoutes(t, s, []routeCase{
		{"nobody's", catalog.Query{Name: "library/alpine"}, led{Registry: "all", Repository: "library/alpine", Candidates: all}},
		{"itself", catalog.Query{Name: "acme"}, led{Registry: "all", Repository: "acme", Candidates: list("quay")}},
		{"below it", catalog.Query{Name: "acme/app"}, led{Registry: "all", Repository: "acme/app", Candidates: list("quay")}},
		{"far below it", catalog.Query{Name: "acme/a/b/c"}, led{Registry: "all", Repository: "acme/a/b/c", Candidates: list("quay")}},
		{"the longer one", catalog.Query{Name: "acme/tools/app"}, led{Registry: "all", Repository: "acme/tools/app", Candidates: list("mcr")}},
		{"whole words", catalog.Query{Name: "acme-tools/app"}, led{Registry: "all", Repository: "acme-tools/app", Candidates: all}},
		{"whole words of the longer", catalog.Query{Name: "acme/toolset"}, led{Registry: "all", Repository: "acme/toolset", Candidates: list("quay")}},
		{"two's, in order", catalog.Query{Name: "shared/app"}, led{Registry: "all", Repository: "shared/app", Candidates: list("quay", "mcr")}},
		{"not at the beginning", catalog.Query{Name: "x/acme/app"}, led{Registry: "all", Repository: "x/acme/app", Candidates: all}},
		{"named at another", catalog.Query{Name: "docker.io/acme/app"}, led{Registry: "all", Repository: "acme/app", Candidates: list("hub")}},
		{"another by ns", catalog.Query{Name: "acme/app", Namespace: "mcr.microsoft.com"}, led{Registry: "all", Repository: "acme/app", Candidates: list("mcr"), Namespace: "mcr.microsoft.com"}},
		{"another registry", catalog.Query{Name: "team/acme/app"}, led{Registry: "team", Repository: "acme/app", Candidates: list("hub", "quay")}},
	})
}

// Where referrers are is told for the repositories it is meant for, and is no candidate.
func TestRouteSources(t *testing.T) {
	scout := &catalog.Upstream{Name: "scout", ID: "9", Hosts: []string{"scout.example"}}
	source := func(u *catalog.Upstream, names ...string) *catalog.Upstream {
		with := *u
		with.Referrers, with.ReferrersFor = scout, names
		return &with
	}
	s := snapshot(t, []*catalog.Registry{
		{Name: "all", Upstreams: []*catalog.Upstream{source(hub, "acme"), quay}},
		{Name: "both", Path: "both", Upstreams: []*catalog.Upstream{source(hub), source(quay)}},
		{Name: "in", Path: "in", Upstreams: []*catalog.Upstream{source(hub), scout}},
	})
	for _, test := range []struct {
		query      catalog.Query
		candidates []string
		sources    []string
	}{
		{catalog.Query{Name: "acme/app"}, list("hub", "quay"), list("scout")},
		{catalog.Query{Name: "acmes/app"}, list("hub", "quay"), nil},
		{catalog.Query{Name: "quay.io/acme/app"}, list("quay"), nil},
		{catalog.Query{Name: "docker.io/acme/app"}, list("hub"), list("scout")},
		{catalog.Query{Name: "both/app"}, list("hub", "quay"), list("scout")},
		{catalog.Query{Name: "in/app"}, list("hub", "scout"), nil},
	} {
		route, err := s.Route(test.query)
		if err != nil {
			t.Fatal(err)
		}
		names := func(upstreams []*catalog.Upstream) (names []string) {
			for _, u := range upstreams {
				names = append(names, u.Name)
			}
			return names
		}
		if diff := cmp.Diff([][]string{test.candidates, test.sources}, [][]string{names(route.Candidates), names(route.Sources)}); diff != "" {
			t.Errorf("%+v: candidates and sources (-want +got):\n%s", test.query, diff)
		}
	}
	if _, err := s.Route(catalog.Query{Name: "scout.example/acme/app"}); err == nil {
		t.Error("a source can be chosen by its host")
	}
}

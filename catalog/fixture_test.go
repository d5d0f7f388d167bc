package catalog_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
)

// The upstreams of the tests. Only corp has a host without a dot and one with a port,
// which no name of a repository can hold: those are for ns alone.
var (
	hub  = &catalog.Upstream{Name: "hub", ID: "1", Hosts: []string{"docker.io", "index.docker.io", "registry-1.docker.io"}}
	quay = &catalog.Upstream{Name: "quay", ID: "2", Hosts: []string{"quay.io"}}
	mcr  = &catalog.Upstream{Name: "mcr", ID: "3", Hosts: []string{"mcr.microsoft.com"}}
	corp = &catalog.Upstream{Name: "corp", ID: "4", Hosts: []string{"harbor", "harbor.corp:5000"}}
)

// registries has a registry of every kind: by default, by path, by a longer path, by host
// with and without a port.
func registries() []*catalog.Registry {
	return []*catalog.Registry{
		{Name: "all", Upstreams: []*catalog.Upstream{hub, quay, mcr}},
		{Name: "team", Path: "team", Upstreams: []*catalog.Upstream{quay, hub, corp}},
		{Name: "prod", Path: "team/prod", Upstreams: []*catalog.Upstream{mcr}},
		{Name: "mirror", Path: "mirror", Hosts: []string{"mirror.local", "Edge.local:8443", "[::1]"}, Upstreams: []*catalog.Upstream{hub, quay}},
	}
}

func snapshot(tb testing.TB, rs []*catalog.Registry) *catalog.Snapshot {
	tb.Helper()
	s, err := catalog.NewSnapshot(rs)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// led is a Route in words, or why there is none.
type led struct {
	Registry   string
	Repository string
	Candidates []string
	Namespace  string
	Unknown    string
}

func follow(t *testing.T, s *catalog.Snapshot, q catalog.Query) led {
	t.Helper()
	route, err := s.Route(q)
	if err != nil {
		unknown, ok := errors.AsType[*catalog.UnknownError](err)
		if !ok {
			t.Errorf("Route(%+v): %v is no *UnknownError", q, err)
			return led{}
		}
		if route.Registry != nil || route.Candidates != nil {
			t.Errorf("Route(%+v) = %+v beside an error", q, route)
		}
		return led{Unknown: unknown.Reason}
	}
	got := led{Registry: route.Registry.Name, Repository: route.Repository, Namespace: route.Namespace}
	for _, u := range route.Candidates {
		got.Candidates = append(got.Candidates, u.Name)
	}
	return got
}

// routeCase is one name and where it must lead.
type routeCase struct {
	name  string
	query catalog.Query
	want  led
}

func runRoutes(t *testing.T, s *catalog.Snapshot, cases []routeCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, follow(t, s, c.query)); diff != "" {
				t.Errorf("Route(%+v) (-want +got):\n%s", c.query, diff)
			}
		})
	}
}

func list(names ...string) []string { return names }

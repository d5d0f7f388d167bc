package catalog_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
)

func TestNewSnapshotConflicts(t *testing.T) {
	for _, c := range []struct {
		name       string
		registries []*catalog.Registry
		want       string
	}{
		{"none", nil, ""},
		{"all different", registries(), ""},
		{"two defaults", []*catalog.Registry{{Name: "a"}, {Name: "b"}}, `registries a and b share the path ""`},
		{"one path", []*catalog.Registry{{Name: "a", Path: "x/y"}, {Name: "b", Path: "x"}, {Name: "c", Path: "x/y"}}, `registries a and c share the path "x/y"`},
		{"one host", []*catalog.Registry{{Name: "a", Path: "a", Hosts: []string{"h"}}, {Name: "b", Path: "b", Hosts: []string{"i", "h"}}}, `registries a and b share the host h`},
		{"one host in another case", []*catalog.Registry{{Name: "a", Path: "a", Hosts: []string{"H"}}, {Name: "b", Path: "b", Hosts: []string{"h"}}}, `registries a and b share the host h`},
		{"one host, two ports", []*catalog.Registry{{Name: "a", Path: "a", Hosts: []string{"h:1"}}, {Name: "b", Path: "b", Hosts: []string{"h:2", "h"}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := catalog.NewSnapshot(c.registries)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("NewSnapshot: %q, want %q", got, c.want)
			}
			if (s == nil) != (err != nil) {
				t.Errorf("NewSnapshot = %v, %v", s, err)
			}
		})
	}
}

func TestEmptySnapshotKnowsNothing(t *testing.T) {
	got := follow(t, snapshot(t, nil), catalog.Query{Host: "mirror.local", Name: "library/alpine"})
	want := led{Unknown: "there is no registry at library and no default registry"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDockerHub(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts []string
		want  bool
	}{
		{"by its name", []string{"registry-1.docker.io", "docker.io"}, true},
		{"its API alone is not enough", []string{"registry-1.docker.io"}, false},
		{"another", []string{"quay.io"}, false},
		{"no host", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&catalog.Upstream{Hosts: c.hosts}).DockerHub(); got != c.want {
				t.Errorf("DockerHub() = %t with hosts %q", got, c.hosts)
			}
		})
	}
}

// Who routes while the catalog is replaced sees the old world or the new one, never a
// mixture, and a route found in the old one stays as it was.
func TestReplaceWhileRouting(t *testing.T) {
	world := func(name, path string, u *catalog.Upstream) *catalog.Snapshot {
		return snapshot(t, []*catalog.Registry{
			{Name: name, Upstreams: []*catalog.Upstream{u}},
			{Name: name + "-path", Path: path, Hosts: []string{name + ".local"}, Upstreams: []*catalog.Upstream{u}},
		})
	}
	old, young := world("old", "a", hub), world("young", "b", quay)
	c := catalog.New(old)
	before, err := c.Snapshot().Route(catalog.Query{Name: "a/x/y"})
	if err != nil {
		t.Fatal(err)
	}

	possible := map[string]led{
		"old":        {Registry: "old", Repository: "b/x/y", Candidates: list("hub")},
		"young-path": {Registry: "young-path", Repository: "x/y", Candidates: list("quay")},
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				got := follow(t, c.Snapshot(), catalog.Query{Name: "b/x/y"})
				if diff := cmp.Diff(possible[got.Registry], got); diff != "" {
					t.Errorf("while replaced (-want +got):\n%s", diff)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 200 {
		c.Replace(young)
		c.Replace(old)
	}
	c.Replace(young)
	close(stop)
	readers.Wait()

	if diff := cmp.Diff(possible["young-path"], follow(t, c.Snapshot(), catalog.Query{Name: "b/x/y"})); diff != "" {
		t.Errorf("after the last (-want +got):\n%s", diff)
	}
	if before.Registry.Name != "old-path" || before.Candidates[0] != hub {
		t.Errorf("the route of before became %+v", before)
	}
}

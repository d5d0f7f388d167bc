package catalog_test

import (
	"fmt"

	"github.com/berth-cache/berth/catalog"
)

func Example() {
	dockerHub := &catalog.Upstream{Name: "docker-hub", Hosts: []string{"docker.io"}}
	quay := &catalog.Upstream{Name: "quay", Hosts: []string{"quay.io"}}
	s, err := catalog.NewSnapshot([]*catalog.Registry{
		{Name: "default", Upstreams: []*catalog.Upstream{dockerHub, quay}},
		{Name: "monitoring", Path: "monitoring", Upstreams: []*catalog.Upstream{quay}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := catalog.New(s)

	for _, name := range []string{"python", "docker.io/python", "monitoring/prometheus/prometheus", "ghcr.io/org/app"} {
		route, err := c.Snapshot().Route(catalog.Query{Name: name})
		if err != nil {
			fmt.Println(name, "->", err)
			continue
		}
		fmt.Print(name, " -> ", route.Repository, " at")
		for _, u := range route.Candidates {
			fmt.Print(" ", u.Name)
		}
		fmt.Println()
	}
	// Output:
	// python -> python at docker-hub quay
	// docker.io/python -> library/python at docker-hub
	// monitoring/prometheus/prometheus -> prometheus/prometheus at quay
	// ghcr.io/org/app -> no upstream of registry default is called ghcr.io; it has docker.io, quay.io
}

package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

func TestRegistries(t *testing.T) {
	const upstreams = "upstreams:\n  z: {url: \"https://z.example\"}\n  a: {url: \"https://a.example\"}\n"
	tests := []struct {
		name, text string
		want       []config.Registry
	}{
		{"neither", "", []config.Registry{{Name: "default", Upstreams: []string{"docker-hub", "dhi", "mcr", "quay"}}}},
		{"upstreams alone", upstreams, []config.Registry{{Name: "default", Upstreams: []string{"z", "a"}}}},
		{"registries alone", "registries: {hub: {upstreams: [docker-hub]}}", []config.Registry{{Name: "hub", Path: "hub", Upstreams: []string{"docker-hub"}}}},
		{
			"both", upstreams + `
registries:
  team.1: {upstreams: [a, z], path: team/one__a, hosts: [One.example, "x:5000"], on_error: next, pin_origin: true}
  team: {upstreams: [a], on_error: stop}
  default: {upstreams: [z], path: ""}
`,
			[]config.Registry{
				{Name: "team.1", Path: "team/one__a", Hosts: []string{"one.example", "x:5000"}, Upstreams: []string{"a", "z"}, OnErrorNext: true, PinOrigin: true},
				{Name: "team", Path: "team", Upstreams: []string{"a"}},
				{Name: "default", Upstreams: []string{"z"}},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parse(t, test.text).Registries); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFaultsOfRegistries(t *testing.T) {
	const path = " is no path of a registry; write lower-case letters and digits, with - or _ between them and / between parts, without dots"
	const reserved = " means something else in the URLs of the registry API; write another path"
	const built = "upstreams: [quay]"
	testFaults(t, []faultTest{
		{"none", "registries: {}\n", "berth.yaml:1: registries: is empty; name at least one registry, or remove the key to have one with all upstreams"},
		{"list", "registries: [quay]\n", "berth.yaml:1: registries: is a list; write keys with their values, one a line and indented"},
		{"a list as the registry", "registries:\n  default: [quay]\n", "berth.yaml:2: registries.default: is a list; write keys with their values, one a line and indented"},
		{"name", "registries:\n  a/b: {path: c, upstreams: [quay]}\n", `berth.yaml:2: registries."a/b": is no valid name; write lower-case letters and digits, and . _ - between them`},
		{"no upstreams", "registries:\n  default: {on_error: stop}\n", "berth.yaml:2: registries.default.upstreams: is missing or empty; list at least one upstream"},
		{"empty upstreams", "registries:\n  default:\n    upstreams: []\n", "berth.yaml:3: registries.default.upstreams: is missing or empty; list at least one upstream"},
		{"unknown upstream, near a known one", "registries: {default: {upstreams: [dockerhub]}}\n", `berth.yaml:1: registries.default.upstreams[0]: "dockerhub" is no upstream; did you mean docker-hub?`},
		{"unknown upstream, near none", "registries: {default: {upstreams: [quay, ghcr]}}\n", `berth.yaml:1: registries.default.upstreams[1]: "ghcr" is no upstream; the upstreams are docker-hub, dhi, mcr, quay`},
		{"built-in upstream beside one's own", "upstreams: {a: {url: \"https://a.example\"}}\nregistries: {default: {upstreams: [a, quay]}}\n", `berth.yaml:2: registries.default.upstreams[1]: "quay" is no upstream; the upstreams are a`},
		{"upstream twice", "registries:\n  default:\n    upstreams:\n      - quay\n      - dhi\n      - quay\n", `berth.yaml:6: registries.default.upstreams[2]: "quay" is here twice, first in line 4; keep one`},
		{"path of default", "registries: {default: {path: x, " + built + "}}\n", "berth.yaml:1: registries.default.path: must stay empty for the registry default; remove the key, or give the registry another name"},
		{"no path", "registries: {hub: {path: \"\", " + built + "}}\n", `berth.yaml:1: registries.hub.path: is empty, which only the registry default may be; write a path, or remove the key to have "hub"`},
		{"path with a dot", "registries: {hub: {path: quay.io, " + built + "}}\n", `berth.yaml:1: registries.hub.path: "quay.io"` + path},
		{"path that starts with a slash", "registries: {hub: {path: /hub, " + built + "}}\n", `berth.yaml:1: registries.hub.path: "/hub"` + path},
		{"path in capitals", "registries: {hub: {path: Hub, " + built + "}}\n", `berth.yaml:1: registries.hub.path: "Hub"` + path},
		{"name that is no path", "registries:\n  team.1: {" + built + "}\n", `berth.yaml:2: registries.team.1: cannot be the path in image names, which the name is unless path is written: a path has lower-case letters and digits, with - or _ between them, and no dots; write a path, or name the registry "team-1"`},
		{"name of an upstream's host", "registries:\n  docker.io:\n    " + built + "\n", `berth.yaml:2: registries.docker.io: cannot be the path in image names, which the name is unless path is written: a path has lower-case letters and digits, with - or _ between them, and no dots; write a path, or name the registry "docker-io"`},
		{"path of the API", "registries: {hub: {path: hub/v2, " + built + "}}\n", `berth.yaml:1: registries.hub.path: "hub/v2"` + reserved},
		{"path of registries by id", "registries: {virtual_registries: {" + built + "}}\n", `berth.yaml:1: registries.virtual_registries.path: "virtual_registries"` + reserved},
		{"one path twice", "registries:\n  a: {" + built + "}\n  b:\n    path: a\n    " + built + "\n", `berth.yaml:4: registries.b.path: "a" is the path of registry a too (line 2); write another`},
		{"one host twice", "registries:\n  a: {hosts: [x.example], " + built + "}\n  b: {hosts: [y.example, X.example], " + built + "}\n", "berth.yaml:3: registries.b.hosts[1]: x.example is a host of registry a too (line 2); keep one"},
		{"on_error", "registries: {default: {on_error: continue, " + built + "}}\n", `berth.yaml:1: registries.default.on_error: "continue" is not known; write one of stop, next`},
		{"upstreams that are themselves broken", "upstreams: 5\nregistries: {default: {upstreams: [x]}}\n", "berth.yaml:1: upstreams: is a single value; write keys with their values, one a line and indented"},
		{"upstream with a fault of its own", "upstreams: {a: {}}\nregistries: {default: {upstreams: [a]}}\n", "berth.yaml:1: upstreams.a.url: is missing; write scheme and host alone, such as https://registry.example.com"},
	})
}

func TestFaultsOfSharedHosts(t *testing.T) {
	const upstreams = `upstreams:
  a: {url: "https://a.example", hosts: [x.example]}
  b: {url: "https://b.example", hosts: [x.example]}
  c: {url: "https://a.example:443", username: u, password: x}
`
	const end = "; keep it in one, or put the upstreams in registries of their own"
	testFaults(t, []faultTest{
		{
			"in the implied registry", upstreams,
			"berth.yaml:3: upstreams.b.hosts[0]: x.example is a host of upstream a too (line 2), and registry default has both" + end + "\n" +
				"berth.yaml:4: upstreams.c.url: a.example is a host of upstream a too (line 2), and registry default has both" + end,
		},
		{
			"told of the later one, once", upstreams + "registries:\n  p: {upstreams: [b, a]}\n  q: {upstreams: [a, b]}\n",
			"berth.yaml:3: upstreams.b.hosts[0]: x.example is a host of upstream a too (line 2), and registry p has both" + end,
		},
	})
	testFaults(t, []faultTest{
		{
			"of Docker Hub, told once", "upstreams:\n  a: {url: \"https://registry-1.docker.io\"}\n  b: {url: \"https://registry-1.docker.io\", username: u, password: x}\n",
			"berth.yaml:3: upstreams.b.url: docker.io is a host of upstream a too (line 2), and registry default has both" + end,
		},
	})
	parse(t, upstreams+"registries:\n  p: {upstreams: [a]}\n  q: {upstreams: [b, c]}\n")
}

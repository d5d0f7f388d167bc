package e2e_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/e2e/client"
	"github.com/berth-cache/berth/e2e/image"
	"github.com/berth-cache/berth/e2e/registry"
)

// pullCase is one image pulled by one client under one form of name.
type pullCase struct {
	name string
	kind image.Kind
	// at is the upstream that has it, as repository.
	at         func(*world) *registry.Registry
	repository string
	// prefix stands before repository in what the client is given; BERTH in it is Berth's
	// address.
	prefix string
}

func atHub(w *world) *registry.Registry   { return w.hub }
func atBasic(w *world) *registry.Registry { return w.basic }
func atToken(w *world) *registry.Registry { return w.token }

// pullCases say which client pulls what by which name. Every client pulls an OCI index and
// a Docker manifest list. The OCI index has a zstd layer wherever the client can unpack
// one: docker cannot before release 23, and Debian 12 has 20.10.
var pullCases = map[string][]pullCase{
	"docker": {
		{"list by the default walk", image.List, atHub, "library/docker-list", "BERTH/"},
		{"gzip by registry-mirrors", image.Gzip, atHub, "library/e2e-docker-gzip", "docker.io/"},
	},
	"containerd": {
		{"zstd by hosts.toml", image.Zstd, atHub, "library/e2e-containerd-zstd", "docker.io/"},
		{"list by the default walk", image.List, atBasic, "team/containerd-list", "BERTH/"},
	},
	"podman": {
		{"zstd by the default walk", image.Zstd, atHub, "library/podman-zstd", "BERTH/"},
		{"list by a mirror with a path", image.List, atHub, "library/e2e-podman-list", "docker.io/"},
	},
	"buildah": {
		{"zstd by the default walk", image.Zstd, atHub, "team/buildah-zstd", "BERTH/"},
		{"list by a registry's path", image.List, atHub, "library/buildah-list", "BERTH/hub/"},
	},
	"skopeo": {
		{"zstd by the default walk", image.Zstd, atHub, "team/skopeo-zstd", "BERTH/"},
		{"list by an upstream's host", image.List, atToken, "team/skopeo-list", "BERTH/" + tokenHost + "/"},
	},
	"crane": {
		{"zstd by the default walk", image.Zstd, atToken, "team/crane-zstd", "BERTH/"},
		{"list by an upstream's host", image.List, atBasic, "team/crane-list", "BERTH/" + basicHost + "/"},
	},
	"regctl": {
		{"zstd by the default walk", image.Zstd, atBasic, "team/regctl-zstd", "BERTH/"},
		{"list by a registry's path and an upstream's host", image.List, atHub, "library/regctl-list", "BERTH/hub/docker.io/"},
	},
}

func TestPull(t *testing.T) {
	t.Parallel()
	withEachClient(t, func(t *testing.T, w *world, name string, c client.Client) {
		for _, tc := range pullCases[name] {
			t.Run(tc.name, func(t *testing.T) { testPull(t, w, c, tc) })
		}
	})
}

// withEachClient runs f side by side for every client, called name, each with a world of its own.
func withEachClient(t *testing.T, f func(t *testing.T, w *world, name string, c client.Client)) {
	for _, program := range client.Programs() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			require(t, program)
			w := newWorld(t, asIs)
			f(t, w, program.Name, program.New(t, w.setup(program.Name)))
		})
	}
}

// testPull pulls one image cold, warm, by digest and with every upstream stopped.
func testPull(t *testing.T, w *world, c client.Client, tc pullCase) {
	want := image.New(t, tc.kind, lastElement(tc.repository))
	tc.at(w).Push(t, tc.repository+":1", want.Index)
	repository := expand(w, tc.prefix) + tc.repository
	w.reset()

	pullAndCompare(t, c, repository+":1", want)
	if len(w.requests()) == 0 {
		t.Error("cold: got no request upstream, so something else than Berth's upstream answered")
	}
	for _, blob := range want.Blobs() {
		if n := tc.at(w).Count("GET ", "/blobs/"+blob); n > 1 {
			t.Errorf("cold: blob %s was fetched %d times, want once at most", blob, n)
		}
	}

	w.reset()
	pullAndCompare(t, c, repository+":1", want)
	wantNoRequests(t, w, "warm")
	pullAndCompare(t, c, repository+"@"+want.Digest, want)
	wantNoRequests(t, w, "by digest")

	start := w.stop(t)
	defer start()
	pullAndCompare(t, c, repository+":1", want)
	pullAndCompare(t, c, repository+"@"+want.Digest, want)
}

// pullAndCompare pulls ref, compares what the client holds with want and drops it again.
func pullAndCompare(t *testing.T, c client.Client, ref string, want image.Image) {
	t.Helper()
	got, err := pull(t, c, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Expect(want), got); diff != "" {
		t.Errorf("%s: the client holds something else than was pushed (-want +got):\n%s", ref, diff)
	}
	if err := c.Remove(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
}

func wantNoRequests(t *testing.T, w *world, when string) {
	t.Helper()
	if requests := w.requests(); len(requests) != 0 {
		t.Errorf("%s: got requests upstream, want none: %q", when, requests)
	}
}

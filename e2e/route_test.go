package e2e_test

import (
	"net/http"
	"testing"

	"github.com/berth-cache/berth/e2e/image"
	"github.com/berth-cache/berth/e2e/registry"
)

// TestRoute asks for one tag by every form of name. What each upstream has under which
// name is in the table below; "both" is a different image at hub and at token.
func TestRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asIs)
	digests := map[string]string{"nothing": ""}
	for _, one := range []struct {
		name, repository string
		at               *registry.Registry
	}{
		{"hub's app", "library/app", w.hub},
		{"basic's app", "team/app", w.basic},
		{"token's tool", "team/tool", w.token},
		{"hub's both", "team/both", w.hub},
		{"token's both", "team/both", w.token},
	} {
		made := image.New(t, image.List, "route-"+lastElement(one.repository)+"-"+one.at.Addr())
		one.at.Push(t, one.repository+":1", made.Index)
		digests[one.name] = made.Digest
	}
	for _, tc := range []struct {
		name, host, path, want string
		quiet                  bool // no upstream may be asked
	}{
		{name: "default walk, first upstream", path: "/v2/library/app/manifests/1", want: "hub's app"},
		{name: "default walk, second upstream", path: "/v2/team/app/manifests/1", want: "basic's app"},
		{name: "default walk, third upstream", path: "/v2/team/tool/manifests/1", want: "token's tool"},
		{name: "default walk, first that has it", path: "/v2/team/both/manifests/1", want: "hub's both"},
		{name: "default walk adds no library", path: "/v2/app/manifests/1", want: "nothing"},
		{name: "upstream's host", path: "/v2/token.test/team/both/manifests/1", want: "token's both"},
		{name: "upstream's host, password", path: "/v2/basic.test/team/app/manifests/1", want: "basic's app"},
		{name: "upstream's host asks no other", path: "/v2/basic.test/team/both/manifests/1", want: "nothing"},
		{name: "Docker Hub's host adds library", path: "/v2/docker.io/app/manifests/1", want: "hub's app"},
		{name: "Docker Hub's host leaves library", path: "/v2/docker.io/library/app/manifests/1", want: "hub's app"},
		{name: "another host adds no library", path: "/v2/token.test/app/manifests/1", want: "nothing"},
		{name: "registry's path", path: "/v2/hub/library/app/manifests/1", want: "hub's app"},
		{name: "registry's path before v2", path: "/hub/v2/library/app/manifests/1", want: "hub's app"},
		{name: "registry's path asks no other", path: "/v2/hub/team/app/manifests/1", want: "nothing"},
		{name: "registry's path and upstream's host", path: "/v2/hub/docker.io/app/manifests/1", want: "hub's app"},
		{name: "registry's host", host: "localhost", path: "/v2/library/app/manifests/1", want: "hub's app"},
		{name: "registry's host asks no other", host: "localhost", path: "/v2/team/app/manifests/1", want: "nothing"},
		{name: "ns", path: "/v2/team/both/manifests/1?ns=token.test", want: "token's both"},
		{name: "ns of Docker Hub adds library", path: "/v2/app/manifests/1?ns=docker.io", want: "hub's app"},
		{name: "ns that is the host segment", path: "/v2/token.test/team/both/manifests/1?ns=token.test", want: "token's both"},
		{name: "unknown host", path: "/v2/unknown.test/library/app/manifests/1", want: "nothing", quiet: true},
		{name: "unknown ns", path: "/v2/library/app/manifests/1?ns=unknown.test", want: "nothing", quiet: true},
		{name: "ns against host", path: "/v2/token.test/team/both/manifests/1?ns=docker.io", want: "nothing", quiet: true},
		{name: "host of another registry", path: "/v2/hub/token.test/team/both/manifests/1", want: "nothing", quiet: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.reset()
			got := mustSend(t, w.URL()+tc.path, request{Host: tc.host})
			wantStatus := http.StatusOK
			if tc.want == "nothing" {
				wantStatus = http.StatusNotFound
			}
			if digest := got.Header.Get("Docker-Content-Digest"); got.StatusCode != wantStatus || digest != digests[tc.want] {
				t.Errorf("want %d and %s %s; got %v", wantStatus, tc.want, digests[tc.want], got)
			}
			if requests := w.requests(); tc.quiet && len(requests) != 0 {
				t.Errorf("want no upstream asked; got %q", requests)
			}
		})
	}
}

// TestNamespaceIsAnswered checks that a client which sends ns learns that it was used.
func TestNamespaceIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asIs)
	made := image.New(t, image.List, "namespace")
	w.hub.Push(t, "library/app:1", made.Index)
	for path, want := range map[string]string{
		"/v2/library/app/manifests/1?ns=docker.io":                      "docker.io",
		"/v2/library/app/blobs/" + made.Blobs()[0] + "?ns=docker.io":    "docker.io",
		"/v2/library/app/manifests/1":                                   "",
		"/v2/library/app/manifests/" + made.Digest + "?ns=unknown.test": "",
	} {
		if got := get(t, w.URL()+path); got.Header.Get("OCI-Namespace") != want {
			t.Errorf("%s: want OCI-Namespace %q; got %v", path, want, got)
		}
	}
}

// TestDigestTakesALink checks that what one upstream gave is not handed out under the name
// of another one that never had it, though the bytes are here.
func TestDigestTakesALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asIs)
	made := image.New(t, image.List, "private")
	w.token.Push(t, "team/private:1", made.Index)
	paths := []string{"/manifests/" + made.Digest}
	for _, blob := range made.Blobs() {
		paths = append(paths, "/blobs/"+blob)
	}
	for _, path := range paths {
		if got := get(t, w.URL()+"/v2/token.test/team/private"+path); got.StatusCode != http.StatusOK {
			t.Fatalf("want it from its own upstream; got %v", got)
		}
	}
	for _, path := range paths {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			got := mustSend(t, w.URL()+"/v2/hub/team/private"+path, request{Method: method})
			if got.StatusCode != http.StatusNotFound {
				t.Errorf("want 404 from a registry without it; got %v", got)
			}
		}
	}
}

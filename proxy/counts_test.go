package proxy_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// one is the shortest name of a digest in a record.
var short = upstreamtest.Short

// multi puts an index of two platforms into repo:tag.
func multi(hub *upstreamtest.Registry, repo, tag string) (index, amd, arm upstreamtest.Image) {
	amd = hub.AddImage(repo, "", []byte("amd64 of "+repo+tag), []byte("shared layer"))
	arm = hub.AddImage(repo, "", []byte("arm64 of "+repo+tag), []byte("shared layer"))
	return hub.AddIndex(repo, tag, amd, arm), amd, arm
}

// blobsOf fetches an image's config and layers, twice what is listed twice.
func (r *rig) blobsOf(repo, query string, image upstreamtest.Image) {
	r.tb.Helper()
	for _, d := range append(image.Layers[:len(image.Layers):len(image.Layers)], image.Config) {
		a := r.get(blobPath(repo, d) + query)
		if a.StatusCode != http.StatusOK || d.Algorithm().FromBytes(a.body) != d {
			r.tb.Fatalf("blob %s: %s, %d bytes", d, a.Status, len(a.body))
		}
	}
}

// The requests of the three families of clients, in their order, for one platform of an
// index by tag.
var clients = map[string]func(r *rig, repo, tag string, index, image upstreamtest.Image){
	"docker": func(r *rig, repo, tag string, index, image upstreamtest.Image) {
		r.pulled("/v2/", []byte("{}"))
		if a := r.do("HEAD", manifestPath(repo, tag)); a.Header.Get("Docker-Content-Digest") != index.Digest.String() {
			r.tb.Fatalf("HEAD: %s, digest %q", a.Status, a.Header.Get("Docker-Content-Digest"))
		}
		r.pulled(manifestPath(repo, index.Digest.String()), index.Manifest)
		r.pulled(manifestPath(repo, image.Digest.String()), image.Manifest)
		r.blobsOf(repo, "", image)
	},
	"containerd": func(r *rig, repo, tag string, index, image upstreamtest.Image) {
		const ns = "?ns=hub.test"
		a := r.do("HEAD", manifestPath(repo, tag)+ns)
		if a.Header.Get("Docker-Content-Digest") != index.Digest.String() || a.Header.Get("OCI-Namespace") != "hub.test" {
			r.tb.Fatalf("HEAD: %s, %v", a.Status, a.Header)
		}
		r.pulled(manifestPath(repo, index.Digest.String())+ns, index.Manifest)
		r.pulled(manifestPath(repo, image.Digest.String())+ns, image.Manifest)
		r.blobsOf(repo, ns, image)
	},
	"podman": func(r *rig, repo, tag string, index, image upstreamtest.Image) {
		r.pulled("/v2/", []byte("{}"))
		r.pulled(manifestPath(repo, tag), index.Manifest)
		r.pulled(manifestPath(repo, image.Digest.String()), image.Manifest)
		r.blobsOf(repo, "", image)
	},
}

func TestColdAndWarmPull(t *testing.T) {
	for name, pulls := range clients {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			hub := r.hubs["hub"]
			hub.RequireToken("", "")
			index, image, _ := multi(hub, "library/app", "1")
			pulls(r, "library/app", "1", index, image)

			const repo = "library/app"
			ask := "HEAD manifest library/app:1"
			if name == "podman" {
				ask = "GET manifest library/app:1"
			}
			want := []string{ask, "GET token repository:library/app:pull", ask}
			if name != "podman" {
				want = append(want, "GET manifest "+repo+"@"+short(index.Digest))
			}
			want = append(want, "GET manifest "+repo+"@"+short(image.Digest))
			for _, d := range append(image.Layers, image.Config) {
				want = append(want, "GET blob "+repo+"@"+short(d))
			}
			r.asked("hub", want...)

			pulls(r, repo, "1", index, image)
			r.asked("hub")
			hub.Stop()
			pulls(r, repo, "1", index, image)
			r.restart()
			pulls(r, repo, "1", index, image)
		})
	}
}

func TestWarmBlobAndManifestByDigestNeedNobody(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	hub := r.hubs["hub"]
	image := hub.AddImage("app", "1", []byte("layer"))
	r.pulled(manifestPath("app", image.Digest.String()), image.Manifest)
	r.blobsOf("app", "", image)
	hub.Reset()
	hub.Stop()
	r.restart()
	for _, path := range []string{manifestPath("app", image.Digest.String()), blobPath("app", image.Layers[0]), blobPath("app", image.Config)} {
		if a := r.get(path); a.StatusCode != http.StatusOK || a.Header.Get("Cache-Status") != "berth; hit" {
			t.Errorf("GET %s: %s, Cache-Status %q", path, a.Status, a.Header.Get("Cache-Status"))
		}
		if a := r.do("HEAD", path); a.StatusCode != http.StatusOK || a.ContentLength <= 0 {
			t.Errorf("HEAD %s: %s, length %d", path, a.Status, a.ContentLength)
		}
	}
	r.asked("hub")
}

func everyTime(u *catalog.Upstream) { u.Validity = 0 }

func TestExpiredAndUnchangedIsOneHead(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub", change: everyTime}}})
	image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
	r.pulled(manifestPath("app", "1"), image.Manifest)
	r.asked("hub", "GET manifest app:1")
	a := r.pulled(manifestPath("app", "1"), image.Manifest)
	r.asked("hub", "HEAD manifest app:1")
	if got, want := a.Header.Get("Cache-Status"), "berth; hit; fwd=stale; detail=confirmed"; got != want {
		t.Errorf("Cache-Status %q, want %q", got, want)
	}
	r.do("HEAD", manifestPath("app", "1"))
	r.asked("hub", "HEAD manifest app:1")
}

func TestHeadOfColdTagIsOneHead(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
	for range 2 {
		a := r.do("HEAD", manifestPath("app", "1"))
		if a.StatusCode != http.StatusOK || a.Header.Get("Docker-Content-Digest") != image.Digest.String() ||
			a.ContentLength != int64(len(image.Manifest)) || a.Header.Get("Content-Type") != image.MediaType {
			t.Fatalf("HEAD: %s %v", a.Status, a.Header)
		}
	}
	r.asked("hub", "HEAD manifest app:1")
}

func TestBareNameWalksToTheUpstreamThatHasIt(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub", hosts: []string{"docker.io"}}, {name: "dhi", user: "me", password: "secret"}, {name: "mcr"}}})
	r.hubs["hub"].RequireToken("", "")
	r.hubs["hub"].MissingAs401(true)
	r.hubs["dhi"].RequireToken("me", "secret")
	image := r.hubs["dhi"].AddImage("python", "3.13", []byte("hardened"))
	r.pulled(manifestPath("python", "3.13"), image.Manifest)
	r.asked("hub", "GET manifest python:3.13", "GET token repository:python:pull", "GET manifest python:3.13")
	r.asked("dhi", "GET manifest python:3.13", "GET token repository:python:pull", "GET manifest python:3.13")
	r.blobsOf("python", "", image)
	r.asked("hub")
	r.asked("dhi", "GET blob python@"+short(image.Layers[0]), "GET blob python@"+short(image.Config))
	r.asked("mcr")
}

func TestRefusedCredentialIsServedStaleAndNeverLookedForElsewhere(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub", user: "me", password: "secret", change: everyTime}, {name: "other"}}})
	hub := r.hubs["hub"]
	hub.RequireToken("me", "secret")
	image := hub.AddImage("team/app", "1", []byte("layer"))
	r.hubs["other"].AddImage("team/app", "1", []byte("a stranger's"))
	r.pulled(manifestPath("team/app", "1"), image.Manifest)
	hub.RequireToken("me", "rotated")
	hub.ExpireTokens()
	a := r.pulled(manifestPath("team/app", "1"), image.Manifest)
	if got, want := a.Header.Get("Cache-Status"), "berth; hit; fwd=stale; detail=credential-refused"; got != want {
		t.Errorf("Cache-Status %q, want %q", got, want)
	}
	if a := r.get(manifestPath("team/app", "2")); a.StatusCode != http.StatusBadGateway {
		t.Errorf("a tag not held: %s, want 502\n%s", a.Status, a.body)
	}
	r.asked("other")
	hub.RequireToken("me", "secret")
	hub.Reset()
	r.pulled(manifestPath("team/app", "1"), image.Manifest)
	if n := hub.Count("HEAD manifest"); n == 0 {
		t.Error("the mended credential was not tried: the refusal was remembered")
	}
}

func TestChangedTagWhoseContentCannotBeHadIsTheOldImage(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub", change: everyTime}}})
	hub := r.hubs["hub"]
	old, amd, _ := multi(hub, "app", "1")
	r.pulled(manifestPath("app", "1"), old.Manifest)
	r.pulled(manifestPath("app", amd.Digest.String()), amd.Manifest)

	newAmd := hub.AddImage("app", "", []byte("newer"))
	newIndex := hub.AddIndex("app", "1", newAmd)
	hub.Reset()
	hub.Fail(upstreamtest.On("GET manifest app@"+short(newAmd.Digest)), upstreamtest.Fault{Status: 403, Body: []byte("<html>blocked</html>"), Header: http.Header{"Content-Type": {"text/html"}}})
	r.pulled(manifestPath("app", "1"), old.Manifest)
	if a := r.do("HEAD", manifestPath("app", "1")); a.Header.Get("Docker-Content-Digest") != old.Digest.String() {
		t.Error("HEAD gives the new image, which cannot be had")
	}
	hub.Mend()
	hub.Reset()
	r.pulled(manifestPath("app", "1"), newIndex.Manifest)
	r.asked("hub", "HEAD manifest app:1", "GET manifest app@"+short(newIndex.Digest), "GET manifest app@"+short(newAmd.Digest))
	hub.Stop()
	r.pulled(manifestPath("app", "1"), newIndex.Manifest)
	r.pulled(manifestPath("app", newAmd.Digest.String()), newAmd.Manifest)
}

func TestDigestThroughARepositoryThatLacksItIsRefused(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	hub := r.hubs["hub"]
	secret := hub.AddImage("private/app", "1", []byte("secret layer"))
	r.pulled(manifestPath("private/app", "1"), secret.Manifest)
	r.blobsOf("private/app", "", secret)
	// Anyone can push a manifest that lists the private layer.
	liar := hub.AddManifest("public/liar", "1", secret.MediaType, []byte(fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":1},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":12}]}`,
		secret.MediaType, secret.Config, secret.Layers[0])))
	if a := r.get(manifestPath("public/liar", liar.String())); a.StatusCode != http.StatusOK {
		t.Fatalf("the lying manifest: %s", a.Status)
	}
	hub.Reset()
	for _, method := range []string{"GET", "HEAD"} {
		if a := r.do(method, blobPath("public/liar", secret.Layers[0])); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s of the private layer: %s, want 404", method, a.Status)
		}
		if a := r.do(method, manifestPath("public/liar", secret.Digest.String())); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s of the private manifest: %s, want 404", method, a.Status)
		}
	}
	if n := hub.Count("GET"); n != 0 {
		t.Errorf("%d GETs to find out; a HEAD is enough", n)
	}
}

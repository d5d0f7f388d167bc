package proxy_test

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

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

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestConformanceManifest reads manifests of all sorts by tag and by digest: they must come
// back byte by byte, under exactly the type they were pushed with.
func TestConformanceManifest(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	s.putBlob(t, sha256Of("{}"), "{}")
	s.putBlob(t, sha256Of(""), "")
	amd64, arm64 := s.putImage(t, "amd64", nil), s.putImage(t, "arm64", nil)
	index := encode(t, map[string]any{
		"schemaVersion": 2, "mediaType": ociIndex,
		"manifests": []descriptor{describe(ociManifest, amd64), describe(ociManifest, arm64)},
	})
	s.putManifest(t, sha256Of(index), ociIndex, index)
	large := map[string]string{}
	for n := range 390 {
		large[fmt.Sprintf("org.example.annotation.%d", n)] = strings.Repeat("x", 10_000)
	}
	empty := describe(ociEmpty, "{}")
	for _, tc := range []struct {
		name, mediaType string
		manifest        any
	}{
		{"image with custom fields", ociManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "config": empty, "layers": []descriptor{empty},
			"org.example.custom": map[string]any{"nested": []int{1, 2, 3}},
		}},
		{"image with an empty layer", ociManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "config": empty, "layers": []descriptor{describe(ociLayer, "")},
		}},
		{"image without layers", ociManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "config": empty, "layers": []descriptor{},
		}},
		{"image with a layer kept elsewhere", ociManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "config": empty, "layers": []descriptor{{
				MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
				Digest:    sha256Of("elsewhere"), Size: 9, URLs: []string{"http://127.0.0.1:9/elsewhere"},
			}},
		}},
		{"image without a mediaType", ociManifest, map[string]any{
			"schemaVersion": 2, "config": empty, "layers": []descriptor{empty},
		}},
		{"artifact", ociManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "artifactType": "application/vnd.example.data",
			"config": empty, "layers": []descriptor{empty},
		}},
		{"artifact with a subject that is absent", ociManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "artifactType": "application/vnd.example.data",
			"config": empty, "layers": []descriptor{empty}, "subject": describe(ociManifest, "absent"),
		}},
		{"index", ociIndex, map[string]any{
			"schemaVersion": 2, "mediaType": ociIndex, "manifests": []descriptor{describe(ociManifest, amd64)},
			"annotations": map[string]string{"org.example.custom": "kept"},
		}},
		{"nested index", ociIndex, map[string]any{
			"schemaVersion": 2, "mediaType": ociIndex, "manifests": []descriptor{describe(ociIndex, index)},
		}},
		{"index of nothing", ociIndex, map[string]any{
			"schemaVersion": 2, "mediaType": ociIndex, "manifests": []descriptor{},
		}},
		{"large image", ociManifest, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "config": empty, "layers": []descriptor{empty},
			"annotations": large,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Spaces at the end: whoever parses and prints again is found out.
			manifest := encode(t, tc.manifest) + " \n"
			tag := strings.ReplaceAll(tc.name, " ", "-")
			s.putManifest(t, tag, tc.mediaType, manifest)
			wantContent(t, s.read+"/manifests/"+tag, tc.mediaType, manifest)
			wantContent(t, s.read+"/manifests/"+sha256Of(manifest), tc.mediaType, manifest)
		})
	}
}

// TestConformanceAccept asks with every Accept that clients send: the bytes are the same.
func TestConformanceAccept(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	manifest := s.putImage(t, "accept", nil)
	for _, accept := range []string{
		"", "*/*", ociManifest, ociIndex + ", " + ociManifest,
		"application/vnd.docker.distribution.manifest.v2+json, " + ociManifest + ", */*",
	} {
		got := mustSend(t, s.read+"/manifests/accept", request{Accept: accept})
		if got.Body != manifest || got.Header.Get("Content-Type") != ociManifest {
			t.Errorf("Accept %q: want the image; got %v", accept, got)
		}
	}
}

// TestConformanceTagMoves reads a tag, moves it, and reads it again by GET and by HEAD.
func TestConformanceTagMoves(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	for n := range 3 {
		manifest := s.putImage(t, "moving", map[string]any{"annotations": map[string]string{"n": fmt.Sprint(n)}})
		if got := head(t, s.read+"/manifests/moving"); got.Header.Get("Docker-Content-Digest") != sha256Of(manifest) {
			t.Errorf("HEAD: want %s; got %v", sha256Of(manifest), got)
		}
		wantContent(t, s.read+"/manifests/moving", ociManifest, manifest)
	}
}

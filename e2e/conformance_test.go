package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	reference "github.com/google/go-containerregistry/pkg/registry"

	"github.com/berth-cache/berth/e2e/berth"
	"github.com/berth-cache/berth/e2e/registry"
)

// The conformance tests hold Berth to what the distribution specification says of reading.
// Writes go to a registry, reads come from a Berth in front of it that checks every answer.

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	ociEmpty    = "application/vnd.oci.empty.v1+json"
)

// errorCodes are the specification's, and UNAVAILABLE, which clients know as temporary.
var errorCodes = []string{
	"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
	"MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
	"DENIED", "UNSUPPORTED", "TOOMANYREQUESTS", "UNAVAILABLE",
}

// splitter is one repository to write to and to read from.
type splitter struct {
	upstream *registry.Registry
	// write and read are the base URLs of the repository.
	write, read string
	// berth is Berth's base URL.
	berth string
}

// conformance starts a distribution registry with a Berth in front.
func conformance(t *testing.T) splitter {
	t.Helper()
	return split(t, registry.Anonymous(t))
}

// withReferrers is conformance with a registry that has the referrers API, which
// distribution has not.
func withReferrers(t *testing.T) splitter {
	t.Helper()
	quiet := reference.Logger(log.New(io.Discard, "", 0))
	return split(t, registry.Serve(t, reference.New(quiet, reference.WithReferrersSupport(true))))
}

func split(t *testing.T, r *registry.Registry) splitter {
	t.Helper()
	server := berth.Start(t, binary, berth.Config{
		Upstreams:  map[string]berth.Upstream{"only": berth.Of(r, "only.test").Fresh()},
		Registries: map[string]berth.Registry{"default": {Upstreams: []string{"only"}}},
	})
	const repository = "/v2/conformance/repository"
	return splitter{upstream: r, write: r.URL() + repository, read: server.URL() + repository, berth: server.URL()}
}

// descriptor is what a manifest says of other content.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int               `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

func sha256Of(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func describe(mediaType, content string) descriptor {
	return descriptor{MediaType: mediaType, Digest: sha256Of(content), Size: len(content)}
}

// putBlob writes a blob under digest.
func (s splitter) putBlob(t *testing.T, digest, content string) {
	t.Helper()
	started := mustSend(t, s.write+"/blobs/uploads/", request{Method: http.MethodPost})
	location, err := started.Location()
	if started.StatusCode != http.StatusAccepted || err != nil {
		t.Fatalf("start an upload: %v, %v", err, started)
	}
	query := location.Query()
	query.Set("digest", digest)
	location.RawQuery = query.Encode()
	put := request{Method: http.MethodPut, Type: "application/octet-stream", Body: content}
	if got := mustSend(t, location.String(), put); got.StatusCode != http.StatusCreated {
		t.Fatalf("write blob %s: %v", digest, got)
	}
}

// putManifest writes a manifest under a tag or digest.
func (s splitter) putManifest(t *testing.T, reference, mediaType, content string) {
	t.Helper()
	put := request{Method: http.MethodPut, Type: mediaType, Body: content}
	if got := mustSend(t, s.write+"/manifests/"+reference, put); got.StatusCode != http.StatusCreated {
		t.Fatalf("write manifest %s: %v", reference, got)
	}
}

// putImage writes an image of one layer under a tag; fields are added to its manifest. It
// returns the manifest.
func (s splitter) putImage(t *testing.T, tag string, fields map[string]any) string {
	t.Helper()
	config, layer := `{"os":"linux","architecture":"amd64","tag":"`+tag+`"}`, "a layer of "+tag
	s.putBlob(t, sha256Of(config), config)
	s.putBlob(t, sha256Of(layer), layer)
	manifest := map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest,
		"config": describe(ociConfig, config),
		"layers": []descriptor{describe(ociLayer, layer)},
	}
	for key, value := range fields {
		manifest[key] = value
	}
	content := encode(t, manifest)
	s.putManifest(t, tag, ociManifest, content)
	return content
}

func encode(t *testing.T, v any) string {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// wantError checks status, form and codes of an error.
func wantError(t *testing.T, got answer, statuses ...int) {
	t.Helper()
	if !slices.Contains(statuses, got.StatusCode) {
		t.Errorf("want one of %d; got %v", statuses, got)
		return
	}
	if got.Request.Method == http.MethodHead {
		return
	}
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil || len(body.Errors) == 0 {
		t.Errorf("want an errors object: %v; got %v", err, got)
	}
	if kind := got.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("want application/json, else docker ignores the body; got %v", got)
	}
	for _, one := range body.Errors {
		if !slices.Contains(errorCodes, one.Code) || one.Message == "" {
			t.Errorf("want a known code and a message; got %+v", one)
		}
	}
}

func TestConformancePing(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		if got := mustSend(t, s.berth+"/v2/", request{Method: method}); got.StatusCode != http.StatusOK {
			t.Errorf("want 200; got %v", got)
		}
	}
	if requests := s.upstream.Requests(); len(requests) != 0 {
		t.Errorf("want no upstream asked; got %q", requests)
	}
}

func TestConformanceWritesAreRefused(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	manifest := s.putImage(t, "kept", nil)
	digest := sha256Of(manifest)
	s.upstream.Reset()
	for _, tc := range []struct{ method, path, body string }{
		{http.MethodPost, "/blobs/uploads/", ""},
		{http.MethodPost, "/blobs/uploads/?mount=" + url.QueryEscape(digest) + "&from=other/repository", ""},
		{http.MethodPatch, "/blobs/uploads/some-upload", "content"},
		{http.MethodPut, "/blobs/uploads/some-upload?digest=" + url.QueryEscape(digest), "content"},
		{http.MethodPut, "/manifests/new", manifest},
		{http.MethodDelete, "/manifests/kept", ""},
		{http.MethodDelete, "/manifests/" + digest, ""},
		{http.MethodDelete, "/blobs/" + digest, ""},
	} {
		got := mustSend(t, s.read+tc.path, request{Method: tc.method, Body: tc.body, Type: ociManifest})
		wantError(t, got, http.StatusMethodNotAllowed)
		if !strings.Contains(got.Body, "UNSUPPORTED") {
			t.Errorf("want UNSUPPORTED; got %v", got)
		}
		allowed := strings.FieldsFunc(got.Header.Get("Allow"), func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(allowed)
		if !slices.Equal(allowed, []string{http.MethodGet, http.MethodHead}) {
			t.Errorf("want Allow with GET and HEAD; got %v", got)
		}
	}
	if requests := s.upstream.Requests(); len(requests) != 0 {
		t.Errorf("want no upstream asked; got %q", requests)
	}
	if got := get(t, s.read+"/manifests/kept"); got.Body != manifest {
		t.Errorf("want the image as it was; got %v", got)
	}
}

func TestConformanceUnknown(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	s.putImage(t, "known", nil)
	absent := sha256Of("absent")
	notFound := []int{http.StatusNotFound}
	invalid := []int{http.StatusBadRequest, http.StatusNotFound}
	for _, tc := range []struct {
		name, path string
		statuses   []int
	}{
		{"tag", "/manifests/absent", notFound},
		{"tag that is none", "/manifests/.INVALID_MANIFEST_NAME", notFound},
		{"manifest", "/manifests/" + absent, notFound},
		{"blob", "/blobs/" + absent, notFound},
		{"manifest digest that is none", "/manifests/sha256:totallywrong", invalid},
		{"blob digest that is none", "/blobs/sha256:totallywrong", invalid},
		{"algorithm", "/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", invalid},
		{"repository", "-elsewhere/manifests/known", notFound},
		{"repository that is none", "/UPPER/manifests/known", invalid},
		{"tags of a repository", "-elsewhere/tags/list", notFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				wantError(t, mustSend(t, s.read+tc.path, request{Method: method}), tc.statuses...)
			}
		})
	}
}

// TestConformanceAnswersAreSealed checks what every answer carries, errors as well: content
// from anywhere must not run in a browser, and operators must see where it came from.
func TestConformanceAnswersAreSealed(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	manifest := s.putImage(t, "sealed", nil)
	for _, path := range []string{
		"/manifests/sealed", "/manifests/" + sha256Of(manifest), "/blobs/" + sha256Of("a layer of sealed"),
		"/tags/list", "/referrers/" + sha256Of(manifest), "/manifests/absent",
	} {
		got := get(t, s.read+path)
		if got.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("want nosniff and a sandboxing policy; got %v", got)
		}
		if !strings.HasPrefix(got.Header.Get("Cache-Status"), "berth;") {
			t.Errorf("want a Cache-Status; got %v", got)
		}
	}
}

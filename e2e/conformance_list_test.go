package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tagList is one page of tags.
type tagList struct {
	Name string
	Tags []string
}

// page reads one page and the URL of the next, which is empty on the last.
func page(t *testing.T, at string) (list tagList, next string) {
	t.Helper()
	got := get(t, at)
	if got.StatusCode != http.StatusOK {
		t.Fatalf("want 200; got %v", got)
	}
	if err := json.Unmarshal([]byte(got.Body), &list); err != nil {
		t.Fatalf("%v in %v", err, got)
	}
	if list.Tags == nil {
		t.Errorf("want a list, if an empty one, and not null; got %v", got)
	}
	if link := got.Header.Get("Link"); link != "" {
		target, rest, found := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if !found || !strings.Contains(rest, `rel="next"`) {
			t.Fatalf("want a link to the next page; got %v", got)
		}
		following, err := got.Request.URL.Parse(target)
		if err != nil || following.Host != got.Request.URL.Host {
			t.Fatalf("want a link to the same server: %v; got %v", err, got)
		}
		next = following.String()
	}
	return list, next
}

func TestConformanceTags(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	every := []string{"Upper", "a", "b", "b.1", "b_2", "latest", "v1", "v10", "v2"}
	for _, tag := range every {
		s.putImage(t, tag, nil)
	}
	for _, tc := range []struct {
		name, query string
		want        []string
		wantNext    bool
	}{
		{"all", "", every, false},
		{"n", "?n=3", every[:3], true},
		{"n of more", "?n=500", every, false},
		{"n beyond what registries take", "?n=10000", every, false},
		{"n of none", "?n=0", []string{}, false},
		{"last", "?last=b", every[3:], false},
		{"n and last", "?n=2&last=b", every[3:5], true},
		{"last that is no tag", "?last=c", every[5:], false},
		{"after the last", "?last=v2", []string{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, next := page(t, s.read+"/tags/list"+tc.query)
			if diff := cmp.Diff(tagList{Name: "conformance/repository", Tags: tc.want}, list); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (next != "") != tc.wantNext {
				t.Errorf("want a next page: %v; got %q", tc.wantNext, next)
			}
		})
	}
	t.Run("page by page", func(t *testing.T) {
		var walked []string
		for next := s.read + "/tags/list?n=3"; next != ""; {
			var list tagList
			list, next = page(t, next)
			if walked = append(walked, list.Tags...); len(walked) > len(every) {
				break
			}
		}
		if diff := cmp.Diff(every, walked); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a push shows at once", func(t *testing.T) {
		s.putImage(t, "z-new", nil)
		if list, _ := page(t, s.read+"/tags/list?last=v2"); !cmp.Equal(list.Tags, []string{"z-new"}) {
			t.Errorf("want the new tag; got %v", list)
		}
	})
}

// TestTagsUnderTheNameAsked checks that a list bears the name that the client used.
func TestTagsUnderTheNameAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asIs)
	s := splitter{upstream: w.hub, write: w.hub.URL() + "/v2/library/app"}
	s.putImage(t, "1", nil)
	s.putImage(t, "2", nil)
	for _, name := range []string{"library/app", "hub/library/app", "docker.io/library/app", "docker.io/app"} {
		list, next := page(t, w.URL()+"/v2/"+name+"/tags/list?n=1")
		if diff := cmp.Diff(tagList{Name: name, Tags: []string{"1"}}, list); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if list, _ = page(t, next); !cmp.Equal(list, tagList{Name: name, Tags: []string{"2"}}) {
			t.Errorf("want the next page under the same name; got %v from %s", list, next)
		}
	}
}

// referrers reads a list of referrers.
func referrers(t *testing.T, at string) (digests []string, got answer) {
	t.Helper()
	got = get(t, at)
	var index struct {
		SchemaVersion int
		MediaType     string
		Manifests     []descriptor
	}
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != ociIndex {
		t.Fatalf("want 200 and exactly the type of an index; got %v", got)
	}
	if err := json.Unmarshal([]byte(got.Body), &index); err != nil {
		t.Fatalf("%v in %v", err, got)
	}
	if index.SchemaVersion != 2 || index.MediaType != ociIndex || index.Manifests == nil {
		t.Errorf("want schemaVersion, mediaType and manifests; got %v", got)
	}
	for _, one := range index.Manifests {
		digests = append(digests, one.Digest)
	}
	return digests, got
}

// TestConformanceReferrers reads from a registry with the API, and from one where clients
// keep the list under a tag instead.
func TestConformanceReferrers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) splitter{"API": withReferrers, "tag": conformance} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			subject := s.putImage(t, "subject", nil)
			at := s.read + "/referrers/" + sha256Of(subject)
			if digests, _ := referrers(t, at); len(digests) != 0 {
				t.Errorf("want none yet; got %v", digests)
			}
			wantError(t, get(t, s.read+"/referrers/sha256:totallywrong"), http.StatusBadRequest)
			wantError(t, get(t, s.read+"/referrers/subject"), http.StatusBadRequest)
			if digests, _ := referrers(t, s.read+"/referrers/"+sha256Of("absent")); len(digests) != 0 {
				t.Errorf("want none of what is absent; got %v", digests)
			}

			byType := map[string]string{}
			var list []descriptor
			for _, kind := range []string{"application/vnd.example.sbom", "application/vnd.example.signature"} {
				config := `{"of":"` + kind + `"}`
				s.putBlob(t, sha256Of(config), config)
				manifest := encode(t, map[string]any{
					"schemaVersion": 2, "mediaType": ociManifest, "config": describe(kind, config),
					"layers": []descriptor{}, "subject": describe(ociManifest, subject),
				})
				s.putManifest(t, sha256Of(manifest), ociManifest, manifest)
				byType[kind] = sha256Of(manifest)
				entry := describe(ociManifest, manifest)
				entry.ArtifactType = kind
				list = append(list, entry)
			}
			if name == "tag" {
				s.putManifest(t, strings.Replace(sha256Of(subject), ":", "-", 1), ociIndex,
					encode(t, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": list}))
			}
			every, _ := referrers(t, at)
			want := []string{byType["application/vnd.example.sbom"], byType["application/vnd.example.signature"]}
			if diff := cmp.Diff(asSet(want), asSet(every)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for kind, digest := range byType {
				wantFiltered(t, at+"?artifactType="+url.QueryEscape(kind), digest, every)
			}
		})
	}
}

// wantFiltered checks an answer to a filter: filtered and said so, or neither.
func wantFiltered(t *testing.T, at, digest string, every []string) {
	t.Helper()
	digests, got := referrers(t, at)
	want := every
	if applied := got.Header.Get("OCI-Filters-Applied"); applied != "" {
		want = []string{digest}
		if applied != "artifactType" {
			t.Errorf("want the filter's name; got %v", got)
		}
	}
	if diff := cmp.Diff(asSet(want), asSet(digests)); diff != "" {
		t.Errorf("%v (-want +got):\n%s", got, diff)
	}
}

func asSet(s []string) map[string]bool {
	set := map[string]bool{}
	for _, one := range s {
		set[one] = true
	}
	return set
}

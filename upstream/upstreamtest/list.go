package upstreamtest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serveTags lists tags in lexical order, with n, last and a Link to the next page.
func (r *Registry) serveTags(w http.ResponseWriter, q *http.Request, op operation) {
	query := q.URL.Query()
	tags := r.tagsAfter(op.repository, query.Get("last"))
	if text := query.Get("n"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			refuse(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
			return
		}
		if n < len(tags) {
			tags = tags[:n]
			if n > 0 {
				next := url.Values{"n": {text}, "last": {tags[n-1]}}
				w.Header().Set("Link", "</v2/"+op.repository+"/tags/list?"+next.Encode()+`>; rel="next"`)
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, q, r.marshal(map[string]any{"name": op.repository, "tags": tags}))
}

func (r *Registry) tagsAfter(repo, last string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	tags := []string{}
	for tag := range r.repo(repo).tags {
		if tag > last {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// serveReferrers answers with an index of the manifests whose subject is asked for.
func (r *Registry) serveReferrers(w http.ResponseWriter, q *http.Request, op operation) {
	if r.setting().noReferrers {
		http.NotFound(w, q)
		return
	}
	subject := digest.Digest(op.reference)
	if subject.Validate() != nil {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest is not valid")
		return
	}
	wanted := q.URL.Query()["artifactType"]
	idx := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, desc := range r.referrersOf(op.repository, subject) {
		if len(wanted) == 0 || slices.Contains(wanted, desc.ArtifactType) {
			idx.Manifests = append(idx.Manifests, desc)
		}
	}
	if len(wanted) > 0 {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	reply(w, q, r.marshal(idx))
}

// referrersOf returns descriptors in the order of their digests.
func (r *Registry) referrersOf(repo string, subject digest.Digest) []ocispec.Descriptor {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []ocispec.Descriptor
	manifests := r.repo(repo).manifests
	for _, d := range slices.Sorted(maps.Keys(manifests)) {
		var m ocispec.Manifest
		held := manifests[d]
		if json.Unmarshal(held.body, &m) != nil || m.Subject == nil || m.Subject.Digest != subject {
			continue
		}
		found = append(found, ocispec.Descriptor{
			MediaType: held.mediaType, Digest: d, Size: int64(len(held.body)),
			ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		})
	}
	return found
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

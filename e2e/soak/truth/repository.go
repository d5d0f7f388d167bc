package truth

import (
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Repository is one repository at one upstream. It only ever grows.
type Repository struct {
	Name string

	// mu guards what is below.
	mu        sync.RWMutex
	manifests map[digest.Digest]Manifest
	blobs     map[digest.Digest]Blob
	tags      map[string][]Image // all that a tag ever pointed to, the newest last
	referrers map[digest.Digest][]Image
}

func newRepository(name string) *Repository {
	return &Repository{
		Name:      name,
		manifests: map[digest.Digest]Manifest{}, blobs: map[digest.Digest]Blob{},
		tags: map[string][]Image{}, referrers: map[digest.Digest][]Image{},
	}
}

// Publish adds an image and, unless tag is empty, points tag to it.
func (r *Repository) Publish(tag string, image Image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(image)
	if tag != "" {
		r.tags[tag] = append(r.tags[tag], image)
	}
}

func (r *Repository) refer(subject, referrer Image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(referrer)
	r.referrers[subject.Digest] = append(r.referrers[subject.Digest], referrer)
}

// add holds the image's manifests and blobs. mu is held.
func (r *Repository) add(image Image) {
	r.manifests[image.Digest] = image.Manifest
	for _, b := range image.Blobs {
		r.blobs[b.Digest] = b
	}
	for _, p := range image.Platforms {
		r.add(p)
	}
}

// Manifest finds a manifest by tag or digest.
func (r *Repository) Manifest(reference string) (Manifest, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if versions := r.tags[reference]; len(versions) > 0 {
		return versions[len(versions)-1].Manifest, true
	}
	m, ok := r.manifests[digest.Digest(reference)]
	return m, ok
}

// Blob finds a blob.
func (r *Repository) Blob(d digest.Digest) (Blob, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	b, ok := r.blobs[d]
	return b, ok
}

// Tags are all tags in lexical order.
func (r *Repository) Tags() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.tags))
}

// Versions are the images that tag pointed to so far, the newest last.
func (r *Repository) Versions(tag string) []Image {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.tags[tag])
}

// Referrers is the list of what refers to d, as the API has it.
func (r *Repository) Referrers(d digest.Digest) Manifest {
	r.mu.RLock()
	defer r.mu.RUnlock()
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{},
	}
	for _, image := range r.referrers[d] {
		about := image.descriptor()
		about.ArtifactType = "application/vnd.example.report"
		index.Manifests = append(index.Manifests, about)
	}
	return newManifest(index.MediaType, index)
}

package upstreamtest

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is a manifest that the registry holds, of an image, an index or an artifact.
type Image struct {
	// Digest, MediaType and Manifest are the manifest's own.
	Digest    digest.Digest
	MediaType string
	Manifest  []byte
	// Config and Layers are blobs in the same repository; an index has none.
	Config digest.Digest
	Layers []digest.Digest
	// Platform is linux with the architecture that the index gave the image.
	Platform *ocispec.Platform
}

// Descriptor is how an index refers to the image.
func (i Image) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: i.MediaType, Digest: i.Digest, Size: int64(len(i.Manifest)), Platform: i.Platform,
	}
}

// AddImage puts an OCI image of the given layers into repo. The config is made from the
// layers, so equal layers give equal images.
func (r *Registry) AddImage(repo, tag string, layers ...[]byte) Image {
	r.tb.Helper()
	img := Image{MediaType: ocispec.MediaTypeImageManifest}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: img.MediaType}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS.Type = "layers"
	m.Layers = []ocispec.Descriptor{}
	for _, layer := range layers {
		d := r.AddBlob(repo, layer)
		img.Layers = append(img.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d)
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(layer)),
		})
	}
	blob := r.marshal(config)
	img.Config = r.AddBlob(repo, blob)
	m.Config = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageConfig, Digest: img.Config, Size: int64(len(blob)),
	}
	img.Manifest = r.marshal(m)
	img.Digest = r.AddManifest(repo, tag, img.MediaType, img.Manifest)
	return img
}

// AddIndex puts an OCI index of the images into repo; the first is linux/amd64, the
// second linux/arm64, others linux/arch<n>.
func (r *Registry) AddIndex(repo, tag string, images ...Image) Image {
	r.tb.Helper()
	idx := Image{MediaType: ocispec.MediaTypeImageIndex}
	m := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: idx.MediaType,
		Manifests: []ocispec.Descriptor{},
	}
	for i, img := range images {
		img.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture(i)}
		m.Manifests = append(m.Manifests, img.Descriptor())
	}
	idx.Manifest = r.marshal(m)
	idx.Digest = r.AddManifest(repo, tag, idx.MediaType, idx.Manifest)
	return idx
}

// AddReferrer puts an artifact of the given type into repo that refers to subject.
func (r *Registry) AddReferrer(repo, artifactType string, subject Image) Image {
	r.tb.Helper()
	art := Image{MediaType: ocispec.MediaTypeImageManifest}
	art.Config = r.AddBlob(repo, ocispec.DescriptorEmptyJSON.Data)
	about := subject.Descriptor()
	about.Platform = nil
	art.Manifest = r.marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: art.MediaType, ArtifactType: artifactType,
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON},
		Subject: &about,
	})
	art.Digest = r.AddManifest(repo, "", art.MediaType, art.Manifest)
	return art
}

func architecture(i int) string {
	if known := []string{"amd64", "arm64"}; i < len(known) {
		return known[i]
	}
	return fmt.Sprintf("arch%d", i)
}

func (r *Registry) marshal(v any) []byte {
	r.tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		r.tb.Errorf("marshal %T: %v", v, err) // not Fatalf: handlers come here too
	}
	return b
}

package truth

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifest is a manifest's bytes with their name and type.
type Manifest struct {
	Digest    digest.Digest
	MediaType string
	Body      []byte
}

func newManifest(mediaType string, document any) Manifest {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // documents of the specification always marshal
	}
	return Manifest{Digest: digest.FromBytes(body), MediaType: mediaType, Body: body}
}

func (m Manifest) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Body))}
}

// Image is a manifest with its blobs, the configuration first; an index has images instead.
type Image struct {
	Manifest
	Blobs     []Blob
	Platforms []Image
}

// Bytes is how many bytes the image has in all.
func (i Image) Bytes() int64 {
	total := int64(len(i.Body))
	for _, b := range i.Blobs {
		total += b.Size
	}
	for _, p := range i.Platforms {
		total += p.Bytes()
	}
	return total
}

// newImage makes an image of a configuration and layers, of at least one blob.
func newImage(blobs []Blob) Image {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: blobDescriptor(ocispec.MediaTypeImageConfig, blobs[0]), Layers: []ocispec.Descriptor{},
	}
	for _, b := range blobs[1:] {
		m.Layers = append(m.Layers, blobDescriptor(ocispec.MediaTypeImageLayerGzip, b))
	}
	return Image{Manifest: newManifest(m.MediaType, m), Blobs: blobs}
}

// newIndex makes an index of images.
func newIndex(platforms ...Image) Image {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for i, p := range platforms {
		d := p.descriptor()
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: []string{"amd64", "arm64"}[i%2]}
		index.Manifests = append(index.Manifests, d)
	}
	return Image{Manifest: newManifest(index.MediaType, index), Platforms: platforms}
}

// newReferrer makes an artifact that refers to subject.
func newReferrer(subject Image, blob Blob) Image {
	about := subject.descriptor()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.example.report",
		Config:       blobDescriptor(ocispec.MediaTypeEmptyJSON, blob), Layers: []ocispec.Descriptor{},
		Subject: &about,
	}
	return Image{Manifest: newManifest(m.MediaType, m), Blobs: []Blob{blob}}
}

func blobDescriptor(mediaType string, b Blob) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: b.Digest, Size: b.Size}
}

package image

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// configSize is about what real configurations have.
const configSize = 1500

// Tag is the one that every image has.
const Tag = "latest"

// Spec is what an image follows from.
type Spec struct {
	// Repository is also the seed: two repositories share no content.
	Repository string `json:"repository"`
	// Layers are the sizes of the layers in bytes.
	Layers []int64 `json:"layers"`
}

// Part is a blob of an image under its digest.
type Part struct {
	Digest digest.Digest `json:"digest"`
	Blob   Blob          `json:"blob"`
}

// Image is one image of one platform, tagged Tag.
type Image struct {
	Repository string
	// Digest is the manifest's.
	Digest    digest.Digest
	MediaType string
	Manifest  []byte
	Config    Part
	Layers    []Part
}

// Make makes the image of a specification. It hashes every layer.
func Make(s Spec) (Image, error) {
	m := Image{
		Repository: s.Repository, MediaType: ocispec.MediaTypeImageManifest,
		Config: part(s.Repository, 0, configSize),
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: m.MediaType,
		Config: m.Config.descriptor(ocispec.MediaTypeImageConfig),
	}
	for i, size := range s.Layers {
		layer := part(s.Repository, i+1, size)
		m.Layers = append(m.Layers, layer)
		manifest.Layers = append(manifest.Layers, layer.descriptor(ocispec.MediaTypeImageLayerGzip))
	}
	var err error
	if m.Manifest, err = json.Marshal(manifest); err != nil {
		return Image{}, fmt.Errorf("make image %s: %w", s.Repository, err)
	}
	m.Digest = digest.FromBytes(m.Manifest)
	return m, nil
}

// Size is what one client gets that pulls all of the image, in bytes.
func (m Image) Size() int64 {
	size := int64(len(m.Manifest)) + m.Config.Blob.Size
	for _, l := range m.Layers {
		size += l.Blob.Size
	}
	return size
}

func part(repository string, i int, size int64) Part {
	b := Blob{Seed: seed(fmt.Sprintf("%s#%d", repository, i)), Size: size}
	return Part{Digest: b.Digest(), Blob: b}
}

func (p Part) descriptor(mediaType string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: p.Digest, Size: p.Blob.Size}
}

func seed(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(sum[:])
}

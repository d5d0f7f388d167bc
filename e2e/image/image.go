package image

import (
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Kind is a sort of image that clients and registries treat differently.
type Kind int

const (
	// Zstd is an OCI index whose images mix gzip and zstd layers.
	Zstd Kind = iota
	// Gzip is an OCI index with gzip layers only, for clients that know no zstd.
	Gzip
	// List is a Docker manifest list with gzip layers.
	List
)

const (
	// largeLayer is the payload of the first layer of Zstd and Gzip images on amd64, in bytes.
	largeLayer = 20 << 20
	smallLayer = 4 << 10
)

// architectures are those every image is made for; all are linux.
var architectures = []string{"amd64", "arm64"}

// Image is a multi-platform image with what a client can be expected to tell of it.
type Image struct {
	// Index is what to push.
	Index v1.ImageIndex
	// Digest is the index's own.
	Digest string
	// Platforms holds what the index lists, by architecture ("amd64", "arm64").
	Platforms map[string]Platform
}

// Platform is one platform's image. All digests are "sha256:hex", layers in base-first order.
type Platform struct {
	Manifest, Config string
	Layers, DiffIDs  []string
}

// New makes the image of a kind that belongs to seed, a word fit for a file name. Other
// seeds share no bytes with it.
func New(tb testing.TB, kind Kind, seed string) Image {
	tb.Helper()
	made, err := build(kind, seed)
	if err != nil {
		tb.Fatalf("make image %s: %v", seed, err)
	}
	return made
}

// Blobs are the digests of everything but manifests, each once.
func (i Image) Blobs() []string {
	var blobs []string
	for _, architecture := range architectures {
		platform := i.Platforms[architecture]
		blobs = append(blobs, platform.Config)
		blobs = append(blobs, platform.Layers...)
	}
	return blobs
}

func build(kind Kind, seed string) (Image, error) {
	made := Image{Index: empty.Index, Platforms: map[string]Platform{}}
	for _, architecture := range architectures {
		image, err := platformImage(kind, seed, architecture)
		if err != nil {
			return Image{}, fmt.Errorf("%s: %w", architecture, err)
		}
		made.Index = mutate.AppendManifests(made.Index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
		if made.Platforms[architecture], err = describe(image); err != nil {
			return Image{}, fmt.Errorf("%s: %w", architecture, err)
		}
	}
	if kind == List {
		made.Index = mutate.IndexMediaType(made.Index, types.DockerManifestList)
	}
	hash, err := made.Index.Digest()
	if err != nil {
		return Image{}, fmt.Errorf("index: %w", err)
	}
	made.Digest = hash.String()
	return made, nil
}

// layers are an image's, base first.
func layers(kind Kind, seed, architecture string) []layerSpec {
	specs := make([]layerSpec, 3)
	for n := range specs {
		specs[n] = layerSpec{
			seed:        fmt.Sprintf("%s-%s-%d", seed, architecture, n),
			compression: compression.GZip,
			mediaType:   types.OCILayer,
			payload:     smallLayer,
		}
		if kind == List {
			specs[n].mediaType = types.DockerLayer
		}
	}
	if kind == Zstd {
		specs[1].compression, specs[1].mediaType = compression.ZStd, types.OCILayerZStd
	}
	if kind != List && architecture == "amd64" {
		specs[0].payload = largeLayer
	}
	return specs
}

func platformImage(kind Kind, seed, architecture string) (v1.Image, error) {
	base, configType := mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON
	if kind == List {
		base, configType = mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON
	}
	base, err := mutate.ConfigFile(mutate.ConfigMediaType(base, configType), &v1.ConfigFile{
		OS: "linux", Architecture: architecture, Author: seed,
		Config: v1.Config{Cmd: []string{"/bin/true"}, Env: []string{"PATH=/bin"}},
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	var added []mutate.Addendum
	for _, spec := range layers(kind, seed, architecture) {
		layer, err := spec.build()
		if err != nil {
			return nil, err
		}
		added = append(added, mutate.Addendum{
			Layer: layer, MediaType: spec.mediaType, History: v1.History{CreatedBy: spec.seed},
		})
	}
	image, err := mutate.Append(base, added...)
	if err != nil {
		return nil, fmt.Errorf("append layers: %w", err)
	}
	return image, nil
}

func describe(image v1.Image) (Platform, error) {
	digest, err := image.Digest()
	if err != nil {
		return Platform{}, fmt.Errorf("digest: %w", err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return Platform{}, fmt.Errorf("manifest: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return Platform{}, fmt.Errorf("config: %w", err)
	}
	platform := Platform{Manifest: digest.String(), Config: manifest.Config.Digest.String()}
	for _, layer := range manifest.Layers {
		platform.Layers = append(platform.Layers, layer.Digest.String())
	}
	for _, id := range config.RootFS.DiffIDs {
		platform.DiffIDs = append(platform.DiffIDs, id.String())
	}
	return platform, nil
}

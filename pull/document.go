package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/upstream"
)

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// known tells whether t is a type of manifest that clients may be served.
func known(t string) bool { return isImage(t) || isIndex(t) }

func isImage(t string) bool { return t == ocispec.MediaTypeImageManifest || t == dockerManifest }

func isIndex(t string) bool { return t == ocispec.MediaTypeImageIndex || t == dockerList }

// document is what is read of a manifest, whichever kind it is.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        json.RawMessage      `json:"config"`
	Layers        json.RawMessage      `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	FSLayers      json.RawMessage      `json:"fsLayers"`
}

// inspect returns the media type to serve a manifest as, or an error if it is none that
// clients would all read alike: a document that is an image to one and an index to
// another can hide content from whoever checks it.
func inspect(body []byte, contentType string) (string, error) {
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", errors.New("it is not a JSON document of a manifest")
	}
	image, index := doc.Layers != nil || doc.Config != nil, doc.Manifests != nil
	mediaType := contentType
	switch {
	case doc.FSLayers != nil || doc.SchemaVersion == 1:
		return "", errors.New("it is of Docker's schema 1, which clients no longer take")
	case image && index:
		return "", errors.New("it is both an image and an index")
	case known(doc.MediaType) && known(contentType) && doc.MediaType != contentType:
		return "", fmt.Errorf("it says it is %s and came as %s", doc.MediaType, contentType)
	case known(contentType):
	case known(doc.MediaType): // came as text/plain, octet-stream or the like
		mediaType = doc.MediaType
	case index:
		mediaType = ocispec.MediaTypeImageIndex
	case image:
		mediaType = ocispec.MediaTypeImageManifest
	default:
		return "", fmt.Errorf("its type %q is no manifest's", contentType)
	}
	if image && isIndex(mediaType) || index && isImage(mediaType) {
		return "", fmt.Errorf("its content is not what %s says", mediaType)
	}
	return mediaType, nil
}

// successors returns the manifests of the index now that take the place of those that we
// hold of the index old: the same platforms, which somebody pulled.
func (p *Puller) successors(ctx context.Context, old digest.Digest, now []byte) []digest.Digest {
	var before, after document
	raw, err := p.contents.ReadAll(ctx, old, upstream.MaxManifestBytes)
	if err != nil || json.Unmarshal(raw, &before) != nil || json.Unmarshal(now, &after) != nil {
		return nil
	}
	var next []digest.Digest
	for _, child := range after.Manifests {
		if child.Platform == nil || child.Platform.OS == "unknown" || child.Digest.Validate() != nil {
			continue
		}
		pulled := slices.ContainsFunc(before.Manifests, func(d ocispec.Descriptor) bool {
			return d.Platform != nil && samePlatform(*d.Platform, *child.Platform) && p.holds(ctx, d.Digest)
		})
		if pulled && !p.holds(ctx, child.Digest) {
			next = append(next, child.Digest)
		}
	}
	return next
}

func samePlatform(a, b ocispec.Platform) bool {
	return a.OS == b.OS && a.Architecture == b.Architecture && a.Variant == b.Variant && a.OSVersion == b.OSVersion
}

package pull

import (
	"encoding/json"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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

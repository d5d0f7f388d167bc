package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layerSpec says what one layer is made of.
type layerSpec struct {
	seed        string
	compression compression.Compression
	mediaType   types.MediaType
	payload     int // bytes of incompressible data in its largest file
}

// build makes the layer: a directory, a text file, a link and the payload, owned by root.
func (s layerSpec) build() (v1.Layer, error) {
	archive, err := s.archive()
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", s.seed, err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	layer, err := tarball.LayerFromOpener(open,
		tarball.WithCompression(s.compression),
		// The payload does not compress anyhow.
		tarball.WithCompressionLevel(gzip.BestSpeed),
		tarball.WithMediaType(s.mediaType),
		tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", s.seed, err)
	}
	return layer, nil
}

func (s layerSpec) archive() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	folder := "srv/" + s.seed
	payload, err := noise(s.seed, s.payload)
	if err != nil {
		return nil, err
	}
	files := []struct {
		header tar.Header
		body   []byte
	}{
		{header: tar.Header{Typeflag: tar.TypeDir, Name: "srv/", Mode: 0o755}},
		{header: tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755}},
		{header: tar.Header{Typeflag: tar.TypeReg, Name: folder + "/name", Mode: 0o644}, body: []byte(s.seed + "\n")},
		{header: tar.Header{Typeflag: tar.TypeSymlink, Name: folder + "/link", Linkname: "name", Mode: 0o777}},
		{header: tar.Header{Typeflag: tar.TypeReg, Name: folder + "/payload", Mode: 0o600}, body: payload},
	}
	for _, file := range files {
		file.header.Size = int64(len(file.body))
		file.header.ModTime = time.Unix(1_700_000_000, 0)
		if err := w.WriteHeader(&file.header); err != nil {
			return nil, fmt.Errorf("archive %s: %w", file.header.Name, err)
		}
		if _, err := w.Write(file.body); err != nil {
			return nil, fmt.Errorf("archive %s: %w", file.header.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return out.Bytes(), nil
}

// noise is n bytes that do not compress and depend on nothing but seed.
func noise(seed string, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(b); err != nil {
		return nil, fmt.Errorf("noise: %w", err)
	}
	return b, nil
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/berth-cache/berth/e2e/image"
)

// errBase says that an image was not built upon the one that its FROM names.
var errBase = errors.New("built upon another base")

// buildah builds an image FROM the one to be pulled, which unpacks all its layers.
type buildah struct{ *storage }

var _ Client = buildah{}

func newBuildah(tb testing.TB, setup Setup) Client {
	tb.Helper()
	b := buildah{newStorage(tb, setup, "buildah")}
	b.command.Private = true
	b.command.Args = b.stores()
	write(tb, b.home+"/context/Containerfile", "ARG BASE\nFROM $BASE\nCOPY added /added\n")
	write(tb, b.home+"/context/added", "added\n")
	return b
}

// Pull builds and compares the base that the build used with the one inspected.
func (b buildah) Pull(ctx context.Context, ref string) (Pulled, error) {
	_, err := b.run(ctx, "bud", "--isolation", "chroot", "--build-arg", "BASE="+ref, "--tag", "built",
		"--file", b.home+"/context/Containerfile", b.home+"/context")
	if err != nil {
		return Pulled{}, err
	}
	base, err := b.inspect(ctx, ref)
	if err != nil {
		return Pulled{}, err
	}
	built, err := b.inspect(ctx, "built")
	if err != nil {
		return Pulled{}, err
	}
	if layers := built.DiffIDs; len(layers) == 0 || !slices.Equal(layers[:len(layers)-1], base.DiffIDs) {
		return Pulled{}, fmt.Errorf("%w: layers %v upon %v", errBase, layers, base.DiffIDs)
	}
	return base, nil
}

// Remove drops every image and checks that none is left.
func (b buildah) Remove(ctx context.Context, _ string) error {
	if _, err := b.run(ctx, "rmi", "--all", "--force"); err != nil {
		return err
	}
	left, err := b.run(ctx, "images", "--all", "--quiet")
	return errors.Join(err, empty(left))
}

// Expect is this machine's platform.
func (b buildah) Expect(i image.Image) Pulled {
	return Pulled{Manifest: here(i).Manifest, Config: here(i).Config, DiffIDs: here(i).DiffIDs}
}

func (b buildah) inspect(ctx context.Context, ref string) (Pulled, error) {
	out, err := b.run(ctx, "inspect", "--type", "image", ref)
	if err != nil {
		return Pulled{}, err
	}
	var inspected struct {
		FromImageID, FromImageDigest string
		OCIv1                        struct {
			RootFS struct {
				DiffIDs []string `json:"diff_ids"`
			} `json:"rootfs"`
		}
	}
	if err := json.Unmarshal([]byte(out), &inspected); err != nil {
		return Pulled{}, fmt.Errorf("buildah inspect: %w", err)
	}
	return Pulled{
		Manifest: inspected.FromImageDigest,
		Config:   withAlgorithm(inspected.FromImageID),
		DiffIDs:  inspected.OCIv1.RootFS.DiffIDs,
	}, nil
}

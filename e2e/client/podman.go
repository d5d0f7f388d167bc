package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/berth-cache/berth/e2e/image"
)

// podman pulls into a store of its own. There is no daemon.
type podman struct{ *storage }

var _ Client = podman{}

func newPodman(tb testing.TB, setup Setup) Client {
	tb.Helper()
	p := podman{newStorage(tb, setup, "podman")}
	p.command.Private = true
	p.command.Args = append(p.stores(),
		"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--tmpdir", p.home+"/tmp")
	return p
}

// Pull fetches this machine's platform.
func (p podman) Pull(ctx context.Context, ref string) (Pulled, error) {
	if _, err := p.run(ctx, "pull", ref); err != nil {
		return Pulled{}, err
	}
	out, err := p.run(ctx, "image", "inspect", ref)
	if err != nil {
		return Pulled{}, err
	}
	var images []struct {
		ID     string `json:"Id"`
		Digest string
		RootFS struct{ Layers []string }
	}
	if err := json.Unmarshal([]byte(out), &images); err != nil {
		return Pulled{}, fmt.Errorf("podman image inspect: %w", err)
	}
	if len(images) != 1 {
		return Pulled{}, fmt.Errorf("podman image inspect: want one image: %s", out)
	}
	return Pulled{
		Index: images[0].Digest, Config: withAlgorithm(images[0].ID), DiffIDs: images[0].RootFS.Layers,
	}, nil
}

// Remove drops every image and checks that none is left.
func (p podman) Remove(ctx context.Context, _ string) error {
	if _, err := p.run(ctx, "rmi", "--all", "--force"); err != nil {
		return err
	}
	left, err := p.run(ctx, "images", "--all", "--quiet")
	return errors.Join(err, empty(left))
}

// Expect is all but the platform's manifest, which podman lists beside the index.
func (p podman) Expect(i image.Image) Pulled {
	return Pulled{Index: i.Digest, Config: here(i).Config, DiffIDs: here(i).DiffIDs}
}

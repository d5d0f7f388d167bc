package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-cache/berth/e2e/child"
	"github.com/berth-cache/berth/e2e/image"
)

// docker is the docker command with a daemon of its own. The daemon takes no part in the
// machine's network: it has no bridge and writes no packet filter rules.
type docker struct {
	run func(ctx context.Context, args ...string) (string, error)
}

var _ Client = (*docker)(nil)

func newDocker(tb testing.TB, setup Setup) Client {
	tb.Helper()
	home := child.Folder(tb)
	socket := "unix://" + home + "/docker.sock"
	// A file of our own, because the machine's would be read without one.
	write(tb, home+"/daemon.json", `{"registry-mirrors": ["`+setup.Mirror+`"]}`)
	env := environ(tb, home)
	d := &docker{run: func(ctx context.Context, args ...string) (string, error) {
		return child.Command{Path: "docker", Args: append([]string{"--host", socket}, args...), Env: env}.Run(ctx)
	}}
	child.Start(tb, child.Command{
		Path: "dockerd",
		Args: []string{
			"--config-file", home + "/daemon.json", "--host", socket,
			"--data-root", home + "/data", "--exec-root", home + "/exec", "--pidfile", home + "/pid",
			"--iptables=false", "--bridge=none", "--storage-driver", "vfs",
		},
		Env: env, Private: true,
	}, func(ctx context.Context) error {
		_, err := d.run(ctx, "version")
		return err
	})
	return d
}

// Pull fetches this machine's platform into the daemon.
func (d *docker) Pull(ctx context.Context, ref string) (Pulled, error) {
	if _, err := d.run(ctx, "pull", ref); err != nil {
		return Pulled{}, err
	}
	out, err := d.run(ctx, "image", "inspect", ref)
	if err != nil {
		return Pulled{}, err
	}
	var images []struct {
		ID          string `json:"Id"`
		RepoDigests []string
		RootFS      struct{ Layers []string }
	}
	if err := json.Unmarshal([]byte(out), &images); err != nil {
		return Pulled{}, fmt.Errorf("docker image inspect: %w", err)
	}
	if len(images) != 1 || len(images[0].RepoDigests) != 1 {
		return Pulled{}, fmt.Errorf("docker image inspect: want one image with one digest: %s", out)
	}
	_, index, _ := strings.Cut(images[0].RepoDigests[0], "@")
	return Pulled{Index: index, Config: images[0].ID, DiffIDs: images[0].RootFS.Layers}, nil
}

// Remove drops ref and checks that no image is left.
func (d *docker) Remove(ctx context.Context, ref string) error {
	_, err := d.run(ctx, "image", "rm", "--force", ref)
	if err != nil {
		return err
	}
	left, err := d.run(ctx, "image", "ls", "--all", "--quiet")
	return errors.Join(err, empty(left))
}

// Expect is all but the platform's manifest, which docker forgets.
func (d *docker) Expect(i image.Image) Pulled {
	return Pulled{Index: i.Digest, Config: here(i).Config, DiffIDs: here(i).DiffIDs}
}

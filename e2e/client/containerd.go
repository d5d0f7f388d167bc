package client

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/berth-cache/berth/e2e/child"
	"github.com/berth-cache/berth/e2e/image"
)

// hostsFile sends the pulls of every registry to one server and to nobody else, with the
// registry's host as the ns parameter where it differs from the server's.
const hostsFile = `server = "%s"

[host."%s"]
  capabilities = ["pull", "resolve"]
`

// containerd is ctr with a daemon of its own. The snapshotter that copies files works on
// every file system.
type containerd struct {
	hosts string
	run   func(ctx context.Context, args ...string) (string, error)
}

var _ Client = (*containerd)(nil)

func newContainerd(tb testing.TB, setup Setup) Client {
	tb.Helper()
	home := child.Folder(tb)
	write(tb, home+"/hosts/_default/hosts.toml", strings.ReplaceAll(hostsFile, "%s", "http://"+setup.Direct))
	write(tb, home+"/config.toml", strings.ReplaceAll(`version = 2
root = "%s/root"
state = "%s/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]

[grpc]
  address = "%s/sock"

[ttrpc]
  address = "%s/sock.ttrpc"
`, "%s", home))
	env := environ(tb, home)
	c := &containerd{hosts: home + "/hosts", run: func(ctx context.Context, args ...string) (string, error) {
		args = append([]string{"--address", home + "/sock", "--namespace", "e2e"}, args...)
		return child.Command{Path: "ctr", Args: args, Env: env}.Run(ctx)
	}}
	child.Start(tb, child.Command{
		Path: "containerd", Args: []string{"--config", home + "/config.toml"}, Env: env, Private: true,
	}, func(ctx context.Context) error {
		_, err := c.run(ctx, "version")
		return err
	})
	return c
}

// Pull fetches this machine's platform and unpacks it.
func (c *containerd) Pull(ctx context.Context, ref string) (Pulled, error) {
	if _, err := c.run(ctx, "images", "pull", "--hosts-dir", c.hosts, "--snapshotter", "native", ref); err != nil {
		return Pulled{}, err
	}
	list, err := c.run(ctx, "images", "ls", "name=="+ref)
	if err != nil {
		return Pulled{}, err
	}
	content, err := c.run(ctx, "content", "ls", "--quiet")
	if err != nil {
		return Pulled{}, err
	}
	pulled := Pulled{Files: sorted(strings.Fields(content)...)}
	for field := range strings.FieldsSeq(list) {
		// The reference itself may hold a digest, but does not begin with one.
		if strings.HasPrefix(field, "sha256:") {
			pulled.Index = field
		}
	}
	return pulled, nil
}

// Remove drops ref, waits for the content to be collected and checks that none is left.
func (c *containerd) Remove(ctx context.Context, ref string) error {
	if _, err := c.run(ctx, "images", "rm", "--sync", ref); err != nil {
		return err
	}
	left, err := c.run(ctx, "content", "ls", "--quiet")
	return errors.Join(err, empty(left))
}

// Expect is the index and what this machine's platform needs of it.
func (c *containerd) Expect(i image.Image) Pulled {
	platform := here(i)
	files := append([]string{i.Digest, platform.Manifest, platform.Config}, platform.Layers...)
	return Pulled{Index: i.Digest, Files: sorted(files...)}
}

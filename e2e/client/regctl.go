package client

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-cache/berth/e2e/child"
)

// regctl copies whole images into an OCI layout.
type regctl struct {
	folder
	command child.Command
}

var _ Client = regctl{}

func newRegctl(tb testing.TB, setup Setup) Client {
	tb.Helper()
	home := child.Folder(tb)
	return regctl{folder: folder(home + "/image"), command: child.Command{
		Path: tool(tb, "regctl"),
		Args: []string{"--host", "reg=" + setup.Direct + ",tls=disabled"},
		Env:  environ(tb, home, "REGCTL_CONFIG="+home+"/regctl.json"),
	}}
}

// Pull fetches all platforms.
func (r regctl) Pull(ctx context.Context, ref string) (Pulled, error) {
	index, err := r.run(ctx, "image", "digest", ref)
	if err != nil {
		return Pulled{}, err
	}
	if _, err := r.run(ctx, "image", "copy", ref, "ocidir://"+string(r.folder)+":copy"); err != nil {
		return Pulled{}, err
	}
	files, err := r.files("blobs/sha256")
	return Pulled{Index: strings.TrimSpace(index), Files: files}, err
}

func (r regctl) run(ctx context.Context, args ...string) (string, error) {
	command := r.command
	command.Args = append(command.Args[:len(command.Args):len(command.Args)], args...)
	return command.Run(ctx)
}

package client

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-cache/berth/e2e/child"
)

// crane pulls whole images into an OCI layout.
type crane struct {
	folder
	command child.Command
}

var _ Client = crane{}

func newCrane(tb testing.TB, _ Setup) Client {
	tb.Helper()
	home := child.Folder(tb)
	return crane{folder: folder(home + "/image"), command: child.Command{Path: tool(tb, "crane"), Env: environ(tb, home)}}
}

// Pull fetches all platforms, and asks for the digest apart, which is a HEAD request.
func (c crane) Pull(ctx context.Context, ref string) (Pulled, error) {
	command := c.command
	command.Args = []string{"digest", "--insecure", ref}
	index, err := command.Run(ctx)
	if err != nil {
		return Pulled{}, err
	}
	command.Args = []string{"pull", "--insecure", "--format", "oci", ref, string(c.folder)}
	if _, err := command.Run(ctx); err != nil {
		return Pulled{}, err
	}
	files, err := c.files("blobs/sha256")
	return Pulled{Index: strings.TrimSpace(index), Files: files}, err
}

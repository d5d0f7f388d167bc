package client

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/berth-cache/berth/e2e/child"
)

// storage runs a program of the podman family with stores and settings of its own.
type storage struct {
	home    string
	command child.Command
}

// newStorage prepares program; global flags come before those of every call.
func newStorage(tb testing.TB, setup Setup, program string) *storage {
	tb.Helper()
	home := child.Folder(tb)
	mirror, err := url.Parse(setup.Mirror)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, home+"/registries.conf", strings.NewReplacer("DIRECT", setup.Direct, "MIRROR", mirror.Host+mirror.Path).Replace(`
unqualified-search-registries = []

[[registry]]
location = "DIRECT"
insecure = true

[[registry]]
location = "docker.io"

[[registry.mirror]]
location = "MIRROR"
insecure = true
`))
	write(tb, home+"/.config/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	return &storage{home: home, command: child.Command{
		Path: program,
		Env:  environ(tb, home, "CONTAINERS_REGISTRIES_CONF="+home+"/registries.conf"),
	}}
}

// stores are the flags that keep images and state in home, as plain copies, which need
// neither a special file system nor mounts.
func (s *storage) stores() []string {
	return []string{"--root", s.home + "/root", "--runroot", s.home + "/runroot", "--storage-driver", "vfs"}
}

func (s *storage) run(ctx context.Context, args ...string) (string, error) {
	command := s.command
	command.Args = append(command.Args[:len(command.Args):len(command.Args)], args...)
	return command.Run(ctx)
}

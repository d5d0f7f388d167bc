package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/berth-cache/berth/e2e/child"
	"github.com/berth-cache/berth/e2e/image"
	"github.com/berth-cache/berth/e2e/port"
)

// errLeftOver says that a client still holds an image that was removed.
var errLeftOver = errors.New("the image is still there")

// Client is one program that pulls.
type Client interface {
	// Pull fetches ref and tells what the client now holds. The error holds what the
	// program printed.
	Pull(ctx context.Context, ref string) (Pulled, error)
	// Remove drops ref and everything else the client holds; an error if something stays.
	Remove(ctx context.Context, ref string) error
	// Expect is what Pull must tell of an image; what this client cannot tell is empty.
	Expect(i image.Image) Pulled
}

// Pulled is what a client tells of an image. All digests are "sha256:hex".
type Pulled struct {
	// Index is the digest of what the reference named.
	Index string
	// Manifest and Config are those of this machine's platform.
	Manifest, Config string
	// DiffIDs are the layers' uncompressed digests, base first.
	DiffIDs []string
	// Files are all blobs and manifests held, verified against their names, sorted.
	Files []string
}

// Setup says where a client finds the registry under test.
type Setup struct {
	// Direct is the host:port that references name. It speaks HTTP without TLS.
	Direct string
	// Mirror is the base URL of what stands in for docker.io, perhaps with a path.
	Mirror string
}

// Program describes a client that may be on this machine.
type Program struct {
	// Name is the client's own and the subtest's.
	Name string
	// Commands must all be found.
	Commands []string
	// Root says that it works for root alone.
	Root bool
	// New makes the client, and starts its daemon if it has one.
	New func(tb testing.TB, setup Setup) Client
	// version prints the version.
	version child.Command
}

// Programs are all clients there are, in the order in which the longest-running come first.
func Programs() []Program {
	return []Program{
		{
			Name: "docker", Commands: []string{"dockerd", "docker", "containerd", "runc"}, Root: true, New: newDocker,
			version: child.Command{Path: "dockerd", Args: []string{"--version"}},
		},
		{
			Name: "containerd", Commands: []string{"containerd", "ctr"}, Root: true, New: newContainerd,
			version: child.Command{Path: "containerd", Args: []string{"--version"}},
		},
		{
			Name: "podman", Commands: []string{"podman", "conmon"}, Root: true, New: newPodman,
			version: child.Command{Path: "podman", Args: []string{"--version"}},
		},
		{
			Name: "buildah", Commands: []string{"buildah"}, Root: true, New: newBuildah,
			version: child.Command{Path: "buildah", Args: []string{"--version"}},
		},
		{
			Name: "skopeo", Commands: []string{"skopeo"}, New: newSkopeo,
			version: child.Command{Path: "skopeo", Args: []string{"--version"}},
		},
		{
			Name: "crane", Commands: []string{"go"}, New: newCrane,
			version: child.Command{Path: "go", Args: []string{"tool", "crane", "version"}},
		},
		{
			Name: "regctl", Commands: []string{"go"}, New: newRegctl,
			version: child.Command{Path: "go", Args: []string{"tool", "regctl", "version", "--format", "{{.VCSTag}}"}},
		},
	}
}

// Missing tells why the program cannot run here; empty when it can.
func (p Program) Missing() string {
	for _, command := range p.Commands {
		if _, err := exec.LookPath(command); err != nil {
			return command + " is not installed"
		}
	}
	if p.Root && os.Geteuid() != 0 {
		return "it takes root"
	}
	return ""
}

// Version is what the program says of itself, on one line.
func (p Program) Version(ctx context.Context) string {
	command := p.version
	command.Env = os.Environ()
	out, err := command.Run(ctx)
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(out), " ")
}

// environ is the environment of a client that keeps its files in home.
func environ(tb testing.TB, home string, more ...string) []string {
	tb.Helper()
	return child.Environ(home, port.Reserve(tb), more...)
}

// tool builds one of this module's tools and returns the program's file name.
func tool(tb testing.TB, name string) string {
	tb.Helper()
	out, err := child.Command{Path: "go", Args: []string{"tool", "-n", name}, Env: os.Environ()}.Run(tb.Context())
	if err != nil {
		tb.Fatalf("build %s: %v", name, err)
	}
	return strings.TrimSpace(out)
}

// here is the image for the platform that clients choose on this machine.
func here(i image.Image) image.Platform { return i.Platforms[runtime.GOARCH] }

// sorted returns a sorted copy without repetitions.
func sorted(s ...string) []string { return slices.Compact(slices.Sorted(slices.Values(s))) }

// everything is all that an image consists of.
func everything(i image.Image) []string {
	files := append(i.Blobs(), i.Digest)
	for _, platform := range i.Platforms {
		files = append(files, platform.Manifest)
	}
	return sorted(files...)
}

// empty is nil if a listing is empty.
func empty(listing string) error {
	if left := strings.Join(strings.Fields(listing), " "); left != "" {
		return fmt.Errorf("%w: %s", errLeftOver, left)
	}
	return nil
}

// withAlgorithm puts sha256: before a bare hex digest.
func withAlgorithm(digest string) string {
	return "sha256:" + strings.TrimPrefix(digest, "sha256:")
}

// write puts a small file in place, with the folders above it.
func write(tb testing.TB, file, content string) {
	tb.Helper()
	folder := file[:strings.LastIndexByte(file, '/')]
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(file, []byte(content), 0o600)); err != nil {
		tb.Fatal(err)
	}
}

package contender

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/berth-cache/berth/bench/process"
)

// BinaryVariable names the environment variable with the file name of a berth to measure
// instead of one built from the folder above this module.
const BinaryVariable = "BERTH_BENCH_BINARY"

// Programs are the file names of all that the bench runs.
type Programs struct {
	Upstream, Load, Floor, Distribution, Berth string
	// Nginx is empty where it is not installed.
	Nginx string
}

// Build makes the bench's own programs and berth in folder. Module is the folder of this
// module.
func Build(ctx context.Context, module, folder string) (Programs, error) {
	build := process.Command{Path: "go", Args: []string{"build", "-o", folder + "/", "./cmd/..."}, Folder: module}
	if _, err := build.Run(ctx); err != nil {
		return Programs{}, fmt.Errorf("build the bench: %w", err)
	}
	p := Programs{
		Upstream: filepath.Join(folder, "upstream"), Load: filepath.Join(folder, "load"),
		Floor: filepath.Join(folder, "floor"), Distribution: filepath.Join(folder, "distribution"),
		Berth: filepath.Join(folder, "berth"), Nginx: nginx(),
	}
	if given := os.Getenv(BinaryVariable); given != "" {
		absolute, err := filepath.Abs(given)
		if err != nil {
			return Programs{}, fmt.Errorf("%s: %w", BinaryVariable, err)
		}
		p.Berth = absolute
		return p, nil
	}
	berth := process.Command{
		Path: "go", Args: []string{"build", "-trimpath", "-o", p.Berth, "./cmd/berth"},
		Env: []string{"CGO_ENABLED=0"}, Folder: filepath.Dir(module),
	}
	if _, err := berth.Run(ctx); err != nil {
		return Programs{}, fmt.Errorf("build berth: %w", err)
	}
	return p, nil
}

// nginx finds nginx, which is not always in the search path of users.
func nginx() string {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

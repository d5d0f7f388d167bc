package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-cache/berth/e2e/child"
)

const (
	// binaryVariable names a program to test instead of one that is built here, as it does
	// for the end-to-end tests.
	binaryVariable = "BERTH_E2E_BINARY"
	// raceVariable has the program built with the race detector.
	raceVariable = "BERTH_SOAK_RACE"
)

// Race tells whether the program is built with the race detector: it takes several times
// the memory then.
func Race() bool { return os.Getenv(raceVariable) != "" }

// Build makes the program in folder, from the module at root, and returns its file name.
func Build(ctx context.Context, root, folder string) (string, error) {
	if binary := os.Getenv(binaryVariable); binary != "" {
		absolute, err := filepath.Abs(binary)
		if err != nil {
			return "", fmt.Errorf("%s: %w", binaryVariable, err)
		}
		return absolute, nil
	}
	binary := filepath.Join(folder, "berth")
	args := []string{"build", "-C", root, "-o", binary}
	if Race() {
		args = append(args, "-race")
	}
	build := child.Command{Path: "go", Args: append(args, "./cmd/berth"), Env: os.Environ()}
	if _, err := build.Run(ctx); err != nil {
		return "", fmt.Errorf("build berth: %w", err)
	}
	return binary, nil
}

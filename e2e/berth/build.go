package berth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-cache/berth/e2e/child"
)

// BinaryVariable names the environment variable with the file name of a program to test
// instead of one built from the folder above this module.
const BinaryVariable = "BERTH_E2E_BINARY"

// Build makes the program in folder, or takes the one that BinaryVariable names, and
// returns its file name.
func Build(ctx context.Context, folder string) (string, error) {
	if binary := os.Getenv(BinaryVariable); binary != "" {
		absolute, err := filepath.Abs(binary)
		if err != nil {
			return "", fmt.Errorf("%s: %w", BinaryVariable, err)
		}
		return absolute, nil
	}
	binary := filepath.Join(folder, "berth")
	// -C, because the program belongs to another module than the tests.
	build := child.Command{
		Path: "go", Args: []string{"build", "-C", "..", "-o", binary, "./cmd/berth"}, Env: os.Environ(),
	}
	if _, err := build.Run(ctx); err != nil {
		return "", fmt.Errorf("build berth: %w", err)
	}
	return binary, nil
}

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/e2e/berth"
	"github.com/berth-cache/berth/e2e/client"
)

// inCI says that the machine is ours to change: what is missing is installed, and what is
// missing still is a failure.
var inCI = os.Getenv("CI") == "true"

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctx := context.Background()
	if inCI {
		setup := exec.CommandContext(ctx, "./setup.sh")
		setup.Stdout, setup.Stderr = os.Stdout, os.Stderr
		if err := setup.Run(); err != nil {
			return 1, fmt.Errorf("setup.sh: %w", err)
		}
	}
	folder, err := os.MkdirTemp("", "berth-e2e-")
	if err != nil {
		return 1, fmt.Errorf("folder for the program: %w", err)
	}
	code := 1
	if binary, err = berth.Build(ctx, folder); err == nil {
		printClients(ctx)
		code = m.Run()
	}
	if code == 0 {
		// distribution's event queue has no end of its own.
		err = goleak.Find(goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
	}
	return code, errors.Join(err, os.RemoveAll(folder))
}

// printClients says which clients the tests run, and why others do not.
func printClients(ctx context.Context) {
	for _, program := range client.Programs() {
		if reason := program.Missing(); reason != "" {
			fmt.Printf("client %s: skipped, %s\n", program.Name, reason)
			continue
		}
		fmt.Printf("client %s: runs, %s\n", program.Name, program.Version(ctx))
	}
}

// require skips the test where the program is missing, or fails it in CI.
func require(tb testing.TB, program client.Program) {
	tb.Helper()
	if reason := program.Missing(); reason != "" && inCI {
		tb.Fatalf("%s: %s, though setup.sh has run", program.Name, reason)
	} else if reason != "" {
		tb.Skipf("%s: %s", program.Name, reason)
	}
}

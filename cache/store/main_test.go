package store_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also what the child processes of the crash tests run.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	goleak.VerifyTestMain(m)
}

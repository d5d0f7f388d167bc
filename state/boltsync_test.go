package state_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-cache/berth/state"
)

// TestBoltSyncsBeforeItWrites: what a process that was killed left in the kernel's cache
// alone is synced before another overwrites pages that it freed. A loss of power would leave
// neither.
func TestBoltSyncsBeforeItWrites(t *testing.T) {
	dir := t.TempDir()
	path, trace := filepath.Join(dir, "state.db"), filepath.Join(dir, "trace")
	b, err := state.OpenBolt(path, state.BoltOptions{})
	must(t, err)
	must(t, b.Close())
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-o", trace, "-e", "trace=pwrite64,fdatasync",
		"-e", "inject=pwrite64:signal=KILL:when=1", os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("the writer ended by itself")
	}
	calls, _ := os.ReadFile(trace) //nolint:errcheck // without strace there is none
	switch {
	case strings.Contains(string(calls), "SIGKILL"):
	case os.Getenv("CI") == "true":
		t.Fatalf("strace: %v %s", err, out)
	default:
		t.Skipf("strace is missing or may not trace: %v %s", err, out)
	}
	synced, wrote := strings.Index(string(calls), "fdatasync("), strings.Index(string(calls), "pwrite64(")
	if wrote < 0 || synced < 0 || synced > wrote {
		t.Errorf("the file was written before it was synced:\n%.1000s", calls)
	}
}

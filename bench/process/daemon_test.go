package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/bench/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(script string) process.Command {
	return process.Command{Path: "/bin/sh", Args: []string{"-c", script}}
}

// wrote is ready once file has count lines.
func wrote(file string, count int) func(context.Context) error {
	return func(context.Context) error {
		content, err := os.ReadFile(file)
		if err == nil && strings.Count(string(content), "\n") < count {
			err = errors.New("too short")
		}
		return err
	}
}

func TestRun(t *testing.T) {
	command := shell("cat; echo to the log >&2")
	command.Stdin = strings.NewReader("order")
	if got, err := command.Run(t.Context()); err != nil || string(got) != "order" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := shell("echo broken >&2; exit 3").Run(t.Context()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("error %v does not tell why", err)
	}
}

func TestRunUsesItsProcessors(t *testing.T) {
	for n := range min(2, runtime.NumCPU()) {
		command := shell("grep Cpus_allowed_list /proc/self/status")
		command.CPUs = process.CPUs{n}
		got, err := command.Run(t.Context())
		if want := "Cpus_allowed_list:\t" + strconv.Itoa(n) + "\n"; err != nil || string(got) != want {
			t.Skipf("got %q, %v, want %q: this machine gives not all of its processors", got, err, want)
		}
	}
	command := shell("grep Cpus_allowed_list /proc/self/status")
	if got, err := command.Run(t.Context()); err != nil || runtime.NumCPU() > 1 && strings.TrimSpace(string(got)) == "Cpus_allowed_list:\t0" {
		t.Errorf("the bench itself is left on %q, %v", got, err)
	}
}

func TestDaemonEndsWithWhatItStarted(t *testing.T) {
	folder := t.TempDir()
	pids := filepath.Join(folder, "pids")
	d, err := process.Start(t.Context(), shell("echo $$ > "+pids+"; sleep 600 & echo $! >> "+pids+"; wait"), filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	if err := d.Await(t.Context(), wrote(pids, 2)); err != nil {
		t.Fatal(err)
	}
	usage, err := process.Proc().Usage(d.Pid())
	if err != nil || usage.PeakRSS <= 0 || usage.AnonRSS <= 0 || usage.AnonRSS > usage.PeakRSS {
		t.Errorf("usage %+v, %v", usage, err)
	}
	if err := process.ResetPeak(d.Pid()); err != nil {
		t.Error(err)
	}
	content, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	d.Stop()
	for line := range strings.FieldsSeq(string(content)) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		awaitEnd(t, pid)
	}
}

// awaitEnd waits until a process ended; whoever took it in may not have waited for it yet.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	for {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || strings.Contains(string(status), ") Z ") {
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("process %d still runs: %s", pid, status)
		}
		runtime.Gosched()
	}
}

func TestAwaitSeesTheEnd(t *testing.T) {
	d, err := process.Start(t.Context(), shell("echo port is taken; exit 1"), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	err = d.Await(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if !errors.Is(err, process.ErrEnded) || !strings.Contains(err.Error(), "port is taken") {
		t.Errorf("error %v", err)
	}
}

func TestParseCPUs(t *testing.T) {
	for text, want := range map[string]string{"": "", "0": "0", "0-1": "0,1", "3,0-1,1": "0,1,3"} {
		if got, err := process.ParseCPUs(text); err != nil || got.String() != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"a", "1-", "2-1", "-1", "0,,1", "5000"} {
		if got, err := process.ParseCPUs(text); err == nil {
			t.Errorf("%q is taken as %s", text, got)
		}
	}
	if got := (process.CPUs{0, 2}).Without(4).String(); got != "1,3" {
		t.Errorf("the rest is %s", got)
	}
}

package child_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/e2e/child"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(script string) child.Command {
	return child.Command{Path: "/bin/sh", Args: []string{"-c", script}, Env: child.Environ("/nowhere", "127.0.0.1:1")}
}

func TestRunReturnsOutputAndNothingElse(t *testing.T) {
	got, err := shell("echo to you; echo to the log >&2").Run(t.Context())
	if err != nil || got != "to you\n" {
		t.Fatalf("got %q, %v; want standard output alone", got, err)
	}
}

func TestRunTellsWhyItFailed(t *testing.T) {
	_, err := shell("echo half; echo broken >&2; exit 3").Run(t.Context())
	for _, want := range []string{"half", "broken", "exit status 3", "/bin/sh"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell %q", err, want)
		}
	}
}

func TestRunSeesOnlyItsEnvironment(t *testing.T) {
	t.Setenv("E2E_OUTSIDE", "leaked")
	got, err := shell(`echo "$E2E_OUTSIDE:$HOME:$HTTPS_PROXY"`).Run(t.Context())
	if want := ":/nowhere:http://127.0.0.1:1\n"; err != nil || got != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestPrivateHidesTheMachinesFolders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace takes root")
	}
	command := shell("touch /var/lib/berth-e2e-trace && ls /var/lib /dev/shm")
	command.Private = true
	got, err := command.Run(t.Context())
	if want := "/dev/shm:\n\n/var/lib:\nberth-e2e-trace\n"; err != nil || got != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	if _, err := os.Stat("/var/lib/berth-e2e-trace"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the file is on the machine: %v", err)
	}
}

func TestDaemonEndsWithWhatItStarted(t *testing.T) {
	pids := filepath.Join(child.Folder(t), "pids")
	ready := func(context.Context) error {
		content, err := os.ReadFile(pids)
		if err == nil && strings.Count(string(content), "\n") < 2 {
			err = os.ErrNotExist
		}
		return err
	}
	daemon := child.Start(t, shell("echo $$ > "+pids+"; sleep 600 & echo $! >> "+pids+"; wait"), ready)
	content, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Stop()
	for line := range strings.FieldsSeq(string(content)) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		awaitGone(t, pid)
	}
}

func TestWaitTellsHowADaemonEnded(t *testing.T) {
	for name, tc := range map[string]struct {
		signal os.Signal
		want   int
	}{
		"its own status": {syscall.SIGUSR1, 7},
		"killed":         {syscall.SIGKILL, -1},
	} {
		file := filepath.Join(child.Folder(t), "trapped")
		ready := func(context.Context) error {
			_, err := os.Stat(file)
			return err
		}
		daemon := child.Start(t, shell("trap 'exit 7' USR1; echo > "+file+"; while :; do sleep 0.01; done"), ready)
		if err := daemon.Signal(tc.signal); err != nil {
			t.Fatal(err)
		}
		if got, err := daemon.Wait(t.Context()); got != tc.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", name, got, err, tc.want)
		}
	}
}

// awaitGone waits until a process is gone; an orphan has to be reaped by whoever took it.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || strings.Contains(string(status), ") Z ") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("process %d still runs: %s", pid, status)
		case <-poll.C:
		}
	}
}

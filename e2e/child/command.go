package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// hide puts empty folders over those where container programs keep things whatever they
// are told: caches of what blobs are, plug-in sockets, lock tables. The mounts are the
// namespace's and go with its last process.
const hide = `for folder in /var/lib /run /dev/shm; do mount -t tmpfs berth-e2e "$folder" || exit 1; done; exec "$0" "$@"`

// grace is how long a program has between being asked to end and being killed.
const grace = 15 * time.Second

// Command is a program with its arguments and all of its environment ("KEY=value").
type Command struct {
	Path string
	Args []string
	Env  []string
	// Private runs it in a mount namespace of its own in which the machine's /var/lib,
	// /run and /dev/shm are hidden. It takes root.
	Private bool
}

// Run runs the program to its end and returns what it printed on standard output. The
// error holds what it printed on standard error as well.
func (c Command) Run(ctx context.Context) (string, error) {
	var stdout, stderr strings.Builder
	cmd := c.prepare(ctx)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", c, err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// String is the command as one would type it.
func (c Command) String() string {
	return strings.Join(append([]string{c.Path}, c.Args...), " ")
}

func (c Command) prepare(ctx context.Context) *exec.Cmd {
	path, args := c.Path, c.Args
	if c.Private {
		args = append([]string{"-c", hide, path}, args...)
		path = "/bin/sh"
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = c.Env
	// A group of its own, so that what it started in turn can be ended with it; and an end
	// if the test itself is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if c.Private {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd
}

// Environ is a bare environment: the search path, home for everything that programs keep
// per user, and a proxy that refuses all that does not stay on this machine, so that no
// answer can come from anywhere else.
func Environ(home, refusing string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"TMPDIR=" + home,
		"XDG_DATA_HOME=" + home + "/data",
		"XDG_CONFIG_HOME=" + home + "/.config",
		"HTTP_PROXY=http://" + refusing,
		"HTTPS_PROXY=http://" + refusing,
		"NO_PROXY=127.0.0.1,localhost",
	}, more...)
}

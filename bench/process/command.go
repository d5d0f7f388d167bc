package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a program has between being asked to end and being killed.
const grace = 20 * time.Second

// Command is a program to run.
type Command struct {
	Path string
	Args []string
	// Env is added to the bench's own environment.
	Env []string
	// Folder is where it runs; empty is where the bench does.
	Folder string
	// CPUs are the processors that it may use; none are all.
	CPUs  CPUs
	Stdin io.Reader
}

// Run runs the program to its end and returns what it printed on standard output. The
// error holds the end of what it printed on standard error.
func (c Command) Run(ctx context.Context) ([]byte, error) {
	var stdout, stderr strings.Builder
	cmd := c.prepare(ctx)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := c.CPUs.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", c.Path, err, tail(stderr.String()))
	}
	return []byte(stdout.String()), nil
}

func (c Command) prepare(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir, cmd.Stdin = c.Folder, c.Stdin
	// A group of its own, so that what it starts ends with it, and an end if the bench is
	// killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd
}

// start starts cmd on the processors. A child takes them over from the thread that makes
// it, so that its runtime counts them right from its first instruction on.
func (c CPUs) start(cmd *exec.Cmd) error {
	if len(c) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	var before, wanted unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("read processors: %w", err)
	}
	for _, n := range c {
		wanted.Set(n)
	}
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("use processors %s: %w", c, err)
	}
	err := cmd.Start()
	if back := unix.SchedSetaffinity(0, &before); back != nil {
		// The thread stays locked and is of no use to anyone else.
		return errors.Join(err, fmt.Errorf("give processors back: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// tail is the end of a text that may be long.
func tail(text string) string {
	const length = 4 << 10
	return strings.ToValidUTF8(text[max(0, len(text)-length):], "?")
}

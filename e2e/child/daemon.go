package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// readyWithin bounds a daemon's start.
	readyWithin = 60 * time.Second
	// logTail is how much of a failed test's daemon log is shown, in bytes.
	logTail = 24 << 10
)

// errEnded says that a daemon ended while the test still needs it.
var errEnded = errors.New("ended by itself")

// Daemon is a program that runs until the test ends or Stop.
type Daemon struct {
	command Command
	log     string
	stop    context.CancelFunc
	process *os.Process
	done    chan struct{}
	err     error // how it ended; read after done
}

// Start runs command and returns once ready tells no error. The test that started it shows
// the daemon's log when it fails.
func Start(tb testing.TB, command Command, ready func(context.Context) error) *Daemon {
	tb.Helper()
	d, err := TryStart(tb, command, ready)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// TryStart is Start for a program that may end before it is ready. Then there is an error,
// and the daemon to ask how it ended.
func TryStart(tb testing.TB, command Command, ready func(context.Context) error) (*Daemon, error) {
	tb.Helper()
	d := &Daemon{command: command, log: filepath.Join(Folder(tb), "log"), done: make(chan struct{})}
	log, err := os.Create(d.log)
	if err != nil {
		tb.Fatal(err)
	}
	// The daemon outlives the test's own context: Stop ends it, in order.
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	d.stop = stop
	cmd := command.prepare(ctx)
	cmd.Stdout, cmd.Stderr = log, log
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		stop()
		tb.Fatalf("start %s: %v", command, err)
	}
	d.process = cmd.Process
	go func() {
		defer close(d.done)
		d.err = cmd.Wait()
	}()
	tb.Cleanup(func() {
		d.Stop()
		if tb.Failed() {
			tb.Logf("%s: %v; the end of its log:\n%s", command, d.err, d.tail())
		}
	})
	if err := d.await(tb.Context(), ready); err != nil {
		return d, fmt.Errorf("start %s: %w", command, err)
	}
	return d, nil
}

// Stop asks the daemon to end, kills it if it does not, and waits for it.
func (d *Daemon) Stop() {
	d.stop()
	<-d.done
}

// Signal sends the daemon a signal, but none to what it started.
func (d *Daemon) Signal(s os.Signal) error {
	if err := d.process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", d.command, err)
	}
	return nil
}

// Wait waits for the daemon's end and returns its exit status, -1 if a signal ended it.
func (d *Daemon) Wait(ctx context.Context) (int, error) {
	select {
	case <-d.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("%s still runs: %w", d.command, context.Cause(ctx))
	}
	if exit, ok := errors.AsType[*exec.ExitError](d.err); ok {
		return exit.ExitCode(), nil
	}
	return 0, d.err
}

// PID is the daemon's process id.
func (d *Daemon) PID() int { return d.process.Pid }

// Log is the name of the file that has the daemon's output.
func (d *Daemon) Log() string { return d.log }

func (d *Daemon) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return errors.Join(errEnded, d.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-poll.C:
		}
	}
}

func (d *Daemon) tail() string {
	content, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(content[max(0, len(content)-logTail):]), "?")
}

// Folder is an empty folder for as long as the test takes. Its name is short, because a
// daemon's socket below it has no more than 107 bytes for its own.
func Folder(tb testing.TB) string {
	tb.Helper()
	folder, err := os.MkdirTemp("", "berth-e2e-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			tb.Errorf("remove %s: %v", folder, err)
		}
	})
	return folder
}

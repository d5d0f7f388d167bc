package child

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	done    chan struct{}
	err     error // how it ended; read after done
}

// Start runs command and returns once ready tells no error. The test that started it shows
// the daemon's log when it fails.
func Start(tb testing.TB, command Command, ready func(context.Context) error) *Daemon {
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
		tb.Fatalf("start %s: %v", command, err)
	}
	return d
}

// Stop asks the daemon to end, kills it if it does not, and waits for it.
func (d *Daemon) Stop() {
	d.stop()
	<-d.done
}

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

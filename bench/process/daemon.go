package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrEnded says that a daemon ended by itself.
var ErrEnded = errors.New("ended by itself")

// pollEvery is how often a daemon is asked whether it is ready: the finest that a start is
// measured to.
const pollEvery = 2 * time.Millisecond

// Daemon is a program that runs until Stop.
type Daemon struct {
	pid  int
	log  string
	stop context.CancelFunc
	done chan struct{}
	err  error // how it ended; read after done
}

// Start starts a daemon whose output is appended to the file log. It outlives ctx: whoever
// starts it ends it with Stop.
func Start(ctx context.Context, c Command, log string) (*Daemon, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	d := &Daemon{log: log, stop: stop, done: make(chan struct{})}
	cmd := c.prepare(ctx)
	cmd.Stdout, cmd.Stderr = file, file
	if err := errors.Join(c.CPUs.start(cmd), file.Close()); err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	d.pid = cmd.Process.Pid
	go func() {
		defer close(d.done)
		d.err = cmd.Wait()
	}()
	return d, nil
}

// Pid is the daemon's number.
func (d *Daemon) Pid() int { return d.pid }

// Stop asks the daemon and what it started to end, kills what does not, and waits. It may
// be called again.
func (d *Daemon) Stop() {
	d.stop()
	<-d.done
}

// Await returns once ready tells no error. The error of a daemon that ended instead is
// ErrEnded with the end of its log.
func (d *Daemon) Await(ctx context.Context, ready func(context.Context) error) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("%w (%w): %s", ErrEnded, d.err, d.Tail())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w; its log ends with: %s", err, d.Tail())
		case <-poll.C:
		}
	}
}

// Tail is the end of the daemon's log.
func (d *Daemon) Tail() string {
	content, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return tail(string(content))
}

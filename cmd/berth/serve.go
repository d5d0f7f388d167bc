package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/berth-cache/berth/state"
)

// stateBound is how long the state is waited for at the start, only to warn.
const stateBound = time.Second

// tryState warns of a state that does not answer: the first to notice would be a pull,
// and that goes on without it.
func (b *berth) tryState(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, stateBound)
	defer cancel()
	_, err := b.facts.Get(bounded, "start")
	if err == nil || errors.Is(err, state.ErrNotFound) || ctx.Err() != nil {
		return
	}
	b.logger.Warn("state cannot be reached, pulls go on without it", "error", err)
}

// serve runs a cache until ctx ends, then lets pulls finish within a bound.
func serve(ctx context.Context, from source, out io.Writer) (err error) {
	// Whoever takes the log may go; without this, so would we at the next line.
	signal.Ignore(syscall.SIGPIPE)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	cfg, err := from.load()
	if err != nil {
		return err
	}
	log := newGatherer(out)
	defer func() { err = errors.Join(err, log.Close()) }()
	defer newGarbage().Close()
	b, err := assemble(ctx, cfg, log)
	if err != nil {
		return err
	}
	reloads := newReloadMetrics(b.metrics)
	d, err := openDoors(ctx, cfg, b)
	if err != nil {
		return errors.Join(err, b.close(ctx))
	}
	b.logger.Info("serving", "address", d.address.String(), "tls", cfg.TLS.Cert != "", "data", cfg.Data, "state", stateName(cfg), "version", version())
	m := newManager(os.Getenv("NOTIFY_SOCKET"), b.logger)
	m.serving = "Serving on " + d.address.String()
	m.ready("")

	r := &reloader{from: from, cache: b, doors: d, metrics: reloads, manager: m, started: cfg, current: cfg}
	w := &watchdog{manager: m, facts: b.facts, handler: b.handler, every: watchEvery(os.Getenv)}
	stop := behind(ctx, b.tryState, func(ctx context.Context) { r.run(ctx, hangup) })
	unwatch := behind(context.WithoutCancel(ctx), w.run) // while pulls finish, too
	select {
	case <-ctx.Done():
	case err = <-d.failed:
	}
	d.ready.ready.Store(false)
	stop()
	within := r.current.Drain
	b.logger.Info("stopping: pulls may finish", "within", within)
	m.stopping("Stopping: pulls may finish within " + within.String())
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	err = errors.Join(err, d.close(bounded, within))
	unwatch()
	err = errors.Join(err, b.close(bounded))
	b.logger.Info("stopped")
	return err
}

// behind runs all of work until end is called, which waits for it.
func behind(ctx context.Context, work ...func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, f := range work {
		running.Go(func() { f(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

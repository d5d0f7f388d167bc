package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/berth-cache/berth/config"
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
func serve(ctx context.Context, cfg *config.Config, out io.Writer) (err error) {
	log := newGatherer(out)
	defer func() { err = errors.Join(err, log.Close()) }()
	b, err := assemble(ctx, cfg, log)
	if err != nil {
		return err
	}
	logger := b.logger
	d, err := openDoors(ctx, cfg, b)
	if err != nil {
		return errors.Join(err, b.close(ctx))
	}
	logger.Info("serving", "address", d.address.String(), "tls", cfg.TLS.Cert != "", "data", cfg.Data, "state", stateName(cfg), "version", version(),
		"try", "docker pull "+d.address.String()+"/library/alpine")
	var tried sync.WaitGroup
	defer tried.Wait()
	tried.Go(func() { b.tryState(ctx) })

	select {
	case <-ctx.Done():
		logger.Info("stopping: pulls may finish", "within", cfg.Drain)
	case err = <-d.failed:
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.Drain)
	defer cancel()
	err = errors.Join(err, d.close(bounded, cfg.Drain), b.close(bounded))
	logger.Info("stopped")
	return err
}

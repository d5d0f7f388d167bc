package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/pull"
	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/upstream"
)

const (
	// drainBound is how long running requests may take to finish after a stop was asked for.
	drainBound = 30 * time.Second
	// stateBound is how long the state is waited for at the start, only to warn.
	stateBound = time.Second
	// headerBound is how long a client may take to send a request's header.
	headerBound = 30 * time.Second
	idleBound   = 2 * time.Minute
	// writeBound is how long a client may take no byte of an answer.
	writeBound = time.Minute
	maxHeader  = 64 << 10
)

// berth is a running cache. Its parts are closed in the reverse order of their making.
type berth struct {
	handler http.Handler
	metrics *prometheus.Registry
	facts   state.Store
	logger  *slog.Logger
	access  *proxy.AccessLog
	closers []func(ctx context.Context) error
}

// assemble makes all parts of a cache from its configuration, without listening yet.
func assemble(ctx context.Context, cfg *config.Config, log *gatherer) (b *berth, err error) {
	logger := newLogger(cfg, log.now())
	b = &berth{metrics: prometheus.NewRegistry(), logger: logger, access: newAccessLog(cfg, log)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	b.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	describeUpstreams(cfg, b.metrics)
	clients, err := newUpstreams(cfg, logger, upstream.NewMetrics(b.metrics))
	if err != nil {
		return b, err
	}
	b.closing(func() error {
		for _, c := range clients {
			c.Close()
		}
		return nil
	})
	exists, err := newCatalog(cfg, clients)
	if err != nil {
		return b, err
	}
	if err := dataFolder(cfg.Data); err != nil {
		return b, err
	}
	disk, err := store.OpenDisk(filepath.Join(cfg.Data, "content"), store.DiskOptions{Logger: logger})
	if err != nil {
		return b, err
	}
	b.closing(disk.Close)
	facts, err := openState(cfg, logger)
	if err != nil {
		return b, err
	}
	b.facts = facts
	b.closing(facts.Close)
	counts := cache.NewMetrics(b.metrics, disk.Usage)
	index := cache.NewIndex(facts, cache.IndexOptions{Logger: logger, Metrics: counts})
	b.closing(func() error { index.Close(); return nil })
	contents := cache.NewContents(disk, cache.ContentOptions{Logger: logger, Metrics: counts})
	b.closers = append(b.closers, func(ctx context.Context) error {
		if err := contents.Close(ctx); err != nil {
			logger.Warn("the time to stop is over", "error", err) // what was cut off is fetched anew
		}
		return nil
	})
	puller := pull.New(pull.Options{
		Contents: contents, Index: index,
		Logger: logger, Metrics: pull.NewMetrics(b.metrics),
	})
	b.closing(func() error { puller.Close(); return nil })
	b.handler = proxy.New(proxy.Options{
		Catalog: exists, Puller: puller, Logger: logger, Access: b.access, Metrics: proxy.NewMetrics(b.metrics), WriteStall: writeBound,
	})
	return b, nil
}

func (b *berth) closing(f func() error) {
	b.closers = append(b.closers, func(context.Context) error { return f() })
}

// close ends all parts; ctx bounds how long fills may take to finish.
func (b *berth) close(ctx context.Context) error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i](ctx))
	}
	b.closers = nil
	return errors.Join(errs...)
}

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

// serve runs a cache until ctx ends, then lets running requests finish within a bound.
func serve(ctx context.Context, cfg *config.Config, out io.Writer) (err error) {
	log := newGatherer(out)
	defer func() { err = errors.Join(err, log.Close()) }()
	b, err := assemble(ctx, cfg, log)
	if err != nil {
		return err
	}
	logger := b.logger
	registry, err := listen(ctx, "listen", cfg.Listen)
	if err != nil {
		return errors.Join(err, b.close(ctx))
	}
	ready := new(readiness)
	failed := make(chan error, 2)
	var serving sync.WaitGroup
	defer serving.Wait() // every way out has closed the servers
	run := func(h http.Handler, l net.Listener) *http.Server {
		s := newServer(h, logger)
		serving.Go(func() { failed <- s.Serve(l) })
		return s
	}
	servers := []*http.Server{run(b.handler, registry)}
	if cfg.Ops != "" {
		ops, err := listen(ctx, "ops", cfg.Ops)
		if err != nil {
			return errors.Join(err, servers[0].Close(), b.close(ctx))
		}
		servers = append(servers, run(opsHandler(b.metrics, ready), ops))
		logger.Info("metrics and health checks", "address", ops.Addr().String())
	}
	ready.ready.Store(true)
	logger.Info("serving", "address", registry.Addr().String(), "data", cfg.Data, "state", stateName(cfg), "version", version(),
		"try", "docker pull "+registry.Addr().String()+"/library/alpine")

	serving.Go(func() { b.tryState(ctx) })

	select {
	case <-ctx.Done():
		logger.Info("stopping: running requests may finish", "within", drainBound)
	case err = <-failed:
	}
	ready.ready.Store(false)
	err = errors.Join(err, drain(ctx, servers, b))
	logger.Info("stopped")
	return err
}

// drain stops the servers, the data plane first so that its end can still be watched, and
// closes everything.
func drain(ctx context.Context, servers []*http.Server, b *berth) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainBound)
	defer cancel()
	var errs []error
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			b.logger.Warn("requests were cut off", "error", err)
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, b.close(ctx))...)
}

func listen(ctx context.Context, key, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another address with `%s:`", err, key)
	}
	return l, nil
}

func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerBound,
		IdleTimeout:       idleBound,
		// For answers in one piece; longer ones renew it as they go.
		WriteTimeout:   writeBound,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

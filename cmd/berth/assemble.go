package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"

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
	disk, err := store.OpenDisk(filepath.Join(cfg.Data, "content"), store.DiskOptions{
		Logger: logger, Limits: limits(cfg), Metrics: store.NewMetrics(b.metrics),
	})
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
	scrub := cache.NewScrub(contents, cache.ScrubOptions{ //nolint:contextcheck // ends with its Close
		Store: disk, BytesPerSecond: cfg.Cache.Scrub, Logger: logger, Metrics: counts,
	})
	b.closing(func() error { scrub.Close(); return nil })
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

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/catalog"
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
	level   slog.LevelVar // of both logs
	catalog *catalog.Catalog
	fleet   *fleet
	info    *upstreamInfo
	disk    *store.Disk
	scrub   *cache.Scrub
	facts   state.Store
	logger  *slog.Logger
	access  *proxy.AccessLog
	pulls   *pull.Metrics
	// clients are those of the configuration that holds, for who asks beside it.
	clients atomic.Pointer[crew]
	closers []func(ctx context.Context) error
}

// assemble makes all parts of a cache from its configuration, without listening yet.
func assemble(ctx context.Context, cfg *config.Config, log *gatherer) (b *berth, err error) {
	b = &berth{metrics: prometheus.NewRegistry(), catalog: catalog.New(nil)} // until it is configured
	b.level.Set(cfg.Log.Level)
	logger := newLogger(cfg, &b.level, log.now())
	b.logger, b.access = logger, newAccessLog(cfg, &b.level, log)
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	b.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log.describe(b.metrics)
	b.info = newUpstreamInfo(b.metrics)
	instance := proxy.NewInstance()
	b.fleet = &fleet{instance: instance, logger: logger, metrics: upstream.NewMetrics(b.metrics)}
	b.closing(func() error { b.fleet.close(); return nil })
	if err := b.openData(cfg); err != nil {
		return b, err
	}
	if err := noteInstance(cfg.Data, instance); err != nil {
		logger.Warn("berth check will not see if an upstream is this Berth", "error", err)
	}
	counts := cache.NewMetrics(b.metrics, b.disk.Usage)
	index := cache.NewIndex(b.facts, cache.IndexOptions{Logger: logger, Metrics: counts})
	b.closing(func() error { index.Close(); return nil })
	contents := cache.NewContents(b.disk, cache.ContentOptions{Logger: logger, Metrics: counts})
	b.closers = append(b.closers, func(ctx context.Context) error {
		if err := contents.Close(ctx); err != nil {
			logger.Warn("the time to stop is over", "error", err) // what was cut off is fetched anew
		}
		return nil
	})
	b.scrub = cache.NewScrub(contents, cache.ScrubOptions{ //nolint:contextcheck // ends with its Close
		Store: b.disk, BytesPerSecond: cfg.Cache.Scrub, Logger: logger, Metrics: counts,
	})
	b.closing(func() error { b.scrub.Close(); return nil })
	b.pulls = pull.NewMetrics(b.metrics)
	if err := b.reconfigure(cfg); err != nil {
		return b, err
	}
	puller := pull.New(pull.Options{
		Contents: contents, Index: index,
		Logger: logger, Metrics: b.pulls,
	})
	b.closing(func() error { puller.Close(); return nil })
	b.handler = proxy.New(proxy.Options{
		Catalog: b.catalog, Puller: puller, Logger: logger, Access: b.access, Metrics: proxy.NewMetrics(b.metrics), WriteStall: writeBound,
		Instance: instance,
	})
	return b, nil
}

// openData opens the content and the state.
func (b *berth) openData(cfg *config.Config) error {
	if err := dataFolder(cfg.Data); err != nil {
		return err
	}
	disk, err := store.OpenDisk(filepath.Join(cfg.Data, "content"), store.DiskOptions{
		Logger: b.logger, Limits: limits(cfg), Metrics: store.NewMetrics(b.metrics),
	})
	if err != nil {
		return err
	}
	b.disk = disk
	b.closing(disk.Close)
	facts, err := openState(cfg, b.logger)
	if err != nil {
		return err
	}
	b.facts = facts
	b.closing(facts.Close)
	return nil
}

// reconfigure makes cfg what holds for requests from now on, or changes nothing.
func (b *berth) reconfigure(cfg *config.Config) error {
	clients, err := b.fleet.plan(cfg.Upstreams)
	if err != nil {
		return err
	}
	snapshot, err := newSnapshot(cfg, clients)
	if err != nil {
		b.fleet.dismiss(clients)
		return err
	}
	for _, u := range cfg.Upstreams {
		if len(u.Credentials) > 0 {
			b.pulls.Begin(u.Name)
		}
	}
	for _, r := range cfg.Registries {
		b.pulls.BeginRegistry(r.Name)
	}
	b.catalog.Replace(snapshot)
	b.fleet.enlist(clients)
	b.clients.Store(&clients)
	b.info.replace(cfg.Upstreams)
	b.disk.Limit(limits(cfg))
	b.scrub.Limit(cfg.Cache.Scrub)
	b.level.Set(cfg.Log.Level)
	return nil
}

// ill tells which hosts of the upstreams are ill, a line for each.
func (b *berth) ill() []string {
	clients := b.clients.Load()
	if clients == nil {
		return nil
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(*clients)) {
		for _, c := range (*clients)[name].client.Ill() {
			how := "slow"
			if c.Down {
				how = "down"
			}
			lines = append(lines, fmt.Sprintf("upstream %s: %s is %s since %s: %s", name, c.Host, how, c.Since.UTC().Format(time.RFC3339), c.Reason))
		}
	}
	return lines
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

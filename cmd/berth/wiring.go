package main

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/state"
)

// newLogger returns a logger of the form that the configuration asks for, writing to w what
// is of a level or worse.
func newLogger(cfg *config.Config, level slog.Leveler, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == config.LogJSON {
		opts.ReplaceAttr = inSeconds
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// newAccessLog returns the access log of the form that the configuration asks for, writing
// to w while requests are of a level to be heard of.
func newAccessLog(cfg *config.Config, level slog.Leveler, w io.Writer) *proxy.AccessLog {
	w = leveled{w, level}
	if cfg.Log.Format == config.LogJSON {
		return proxy.NewAccessLog(w, proxy.JSON)
	}
	return proxy.NewAccessLog(w, proxy.Text)
}

// leveled passes on what is at info, if that is to be heard of.
type leveled struct {
	out   io.Writer
	level slog.Leveler
}

// Write implements io.Writer.
func (l leveled) Write(line []byte) (int, error) {
	if l.level.Level() > slog.LevelInfo {
		return len(line), nil
	}
	return l.out.Write(line)
}

// inSeconds makes durations numbers of seconds, as Prometheus and jq have them; JSON
// would have bare nanoseconds.
func inSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

// engine is a state with an end.
type engine interface {
	state.Store
	io.Closer
}

// openState opens the state that the configuration names: Redis if there is one, else a
// file in the data folder.
func openState(cfg *config.Config, logger *slog.Logger) (engine, error) {
	if url := cfg.State.Redis.Reveal(); url != "" {
		return newRedis(url, logger)
	}
	path := filepath.Join(cfg.Data, "state.db")
	b, err := state.OpenBolt(path, state.BoltOptions{Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, store.Hint(path, err))
	}
	return b, nil
}

// newRedis makes the engine for a URL. It does not connect.
func newRedis(url string, logger *slog.Logger) (*state.Redis, error) {
	r, err := state.NewRedis(state.RedisOptions{URL: state.RedisURL(url), Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("state.redis: %w", err)
	}
	return r, nil
}

// limits are what the configuration lets the store hold.
func limits(cfg *config.Config) store.Limits {
	return store.Limits{MaxBytes: cfg.Cache.MaxSize, MinFree: cfg.Cache.MinFree}
}

// newSnapshot makes the catalog's snapshot of a configuration, whose upstreams are known by
// their clients' fingerprints.
func newSnapshot(cfg *config.Config, clients crew) (*catalog.Snapshot, error) {
	upstreams := map[string]*catalog.Upstream{}
	for _, u := range cfg.Upstreams {
		upstreams[u.Name] = &catalog.Upstream{
			Name: u.Name, ID: clients[u.Name].client.Fingerprint(), Client: clients[u.Name].client, Epoch: clients[u.Name].epoch, Hosts: u.Hosts, Owns: u.Owns, Login: len(u.Credentials) > 0,
			Validity: u.Validity, NegativeValidity: u.NegativeValidity, ListValidity: u.ListValidity,
			MaxStale: u.MaxStale, MaxStaleRefused: u.MaxStaleRefused, KeepDeleted: u.KeepDeleted,
			Connections: u.Connections, SegmentSize: u.SegmentSize,
		}
	}
	for _, u := range cfg.Upstreams {
		upstreams[u.Name].Referrers, upstreams[u.Name].ReferrersFor = upstreams[u.Referrers], u.ReferrersFor
	}
	var registries []*catalog.Registry
	for _, r := range cfg.Registries {
		reg := &catalog.Registry{Name: r.Name, Path: r.Path, Hosts: r.Hosts, NextOnError: r.OnErrorNext, PinOrigin: r.PinOrigin}
		for _, name := range r.Upstreams {
			reg.Upstreams = append(reg.Upstreams, upstreams[name])
		}
		registries = append(registries, reg)
	}
	return catalog.NewSnapshot(registries)
}

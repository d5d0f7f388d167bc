package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/server"
	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/upstream"
)

// newLogger returns the logger that the configuration asks for, writing to w.
func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == config.LogJSON {
		opts.ReplaceAttr = inSeconds
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// newAccessLog returns the access log that the configuration asks for, writing to w; nil
// where it wants to hear of less than requests.
func newAccessLog(cfg *config.Config, w io.Writer) *proxy.AccessLog {
	switch {
	case cfg.Log.Level > slog.LevelInfo:
		return nil
	case cfg.Log.Format == config.LogJSON:
		return proxy.NewAccessLog(w, proxy.JSON)
	}
	return proxy.NewAccessLog(w, proxy.Text)
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

// newUpstreams returns a client for each upstream, by its configured name. None asks
// anything yet.
func newUpstreams(cfg *config.Config, logger *slog.Logger, metrics *upstream.Metrics) (map[string]*upstream.Client, error) {
	clients := make(map[string]*upstream.Client, len(cfg.Upstreams))
	for _, u := range cfg.Upstreams {
		c, err := newUpstream(u, logger, metrics)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		clients[u.Name] = c
	}
	return clients, nil
}

func newUpstream(u config.Upstream, logger *slog.Logger, metrics *upstream.Metrics) (*upstream.Client, error) {
	roots, err := authorities(u.CA)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.CAFile, err)
	}
	return upstream.New(upstream.Config{
		Name: u.Name, URL: u.URL, Hosts: u.Hosts,
		Credential: authn.AuthConfig{Username: u.Username, Password: u.Password.Reveal()},
		Realms:     u.Realms, Private: u.Private, RootCAs: roots,
		UserAgent: "berth/" + version(),
		Logger:    logger, Metrics: metrics,
	})
}

// authorities are the system's and those of a PEM file; nil, the system's alone, without one.
func authorities(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no PEM certificate")
	}
	return pool, nil
}

// newCatalog makes the catalog of a configuration, whose upstreams are known by their
// clients' fingerprints.
func newCatalog(cfg *config.Config, clients map[string]*upstream.Client) (*catalog.Catalog, error) {
	upstreams := map[string]*catalog.Upstream{}
	for _, u := range cfg.Upstreams {
		upstreams[u.Name] = &catalog.Upstream{
			Name: u.Name, ID: clients[u.Name].Fingerprint(), Client: clients[u.Name], Hosts: u.Hosts, Login: u.Username != "",
			Validity: u.Validity, NegativeValidity: u.NegativeValidity, ListValidity: u.ListValidity,
			MaxStale: u.MaxStale, MaxStaleRefused: u.MaxStaleRefused, KeepDeleted: u.KeepDeleted,
		}
	}
	var registries []*catalog.Registry
	for _, r := range cfg.Registries {
		reg := &catalog.Registry{Name: r.Name, Path: r.Path, Hosts: r.Hosts, NextOnError: r.OnErrorNext}
		for _, name := range r.Upstreams {
			reg.Upstreams = append(reg.Upstreams, upstreams[name])
		}
		registries = append(registries, reg)
	}
	snapshot, err := catalog.NewSnapshot(registries)
	if err != nil {
		return nil, err
	}
	return catalog.New(snapshot), nil
}

// describeUpstreams exports what the upstreams are, to be joined with what they did.
func describeUpstreams(cfg *config.Config, r prometheus.Registerer) {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "berth_upstream_info",
		Help: "The configured upstreams; always 1. Join it on upstream to split pulls by hardened.",
	}, []string{"upstream", "host", "hardened"})
	r.MustRegister(info)
	for _, u := range cfg.Upstreams {
		info.WithLabelValues(u.Name, u.URL.Host, strconv.FormatBool(u.Hardened)).Set(1)
	}
}

// describeCertificate exports when the certificate of listen ceases to be valid.
func describeCertificate(c *server.Certificate, r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "berth_tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that listen shows expires, in Unix time.",
	}, func() float64 { return float64(c.Expires().Unix()) }))
}

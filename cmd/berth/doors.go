package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/server"
)

const (
	// writeBound is how long a client may take no byte of an answer.
	writeBound = time.Minute
	// maxOps is how many connections metrics and health checks may have.
	maxOps = 200
)

// doors are where a running cache can be reached.
type doors struct {
	registry    *server.Server
	ops         *server.Server      // nil if there is none
	certificate *server.Certificate // of registry; nil if it is plain HTTP
	address     net.Addr            // of registry
	ready       *readiness
	logger      *slog.Logger
	failed      chan error // of a server that ended by itself
	serving     sync.WaitGroup
}

// openDoors listens on the addresses of the configuration and serves b there.
func openDoors(ctx context.Context, cfg *config.Config, b *berth) (*doors, error) {
	d := &doors{ready: new(readiness), logger: b.logger, failed: make(chan error, 2)}
	registry, err := listen(ctx, "listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	d.address = registry.Addr()
	if cfg.Ops != "" {
		ops, err := listen(ctx, "ops", cfg.Ops)
		if err != nil {
			return nil, errors.Join(err, registry.Close())
		}
		d.logger.Info("metrics and health checks", "address", ops.Addr().String())
		d.ops = server.New(server.Options{Handler: opsHandler(b.metrics, d.ready, cfg.PProf, b.ill), Logger: d.logger, MaxConnections: maxOps, WriteStall: writeBound})
		d.serve(d.ops, ops)
	}
	if cfg.TLS.Certificate != nil {
		d.certificate = server.NewCertificate(cfg.TLS.Certificate)
		describeCertificate(d.certificate, b.metrics)
	}
	d.registry = server.New(server.Options{
		Handler: b.handler, Logger: d.logger, Metrics: server.NewMetrics(b.metrics), Certificate: d.certificate,
		MaxConnections: maxConnections(cfg, d.logger), WriteStall: writeBound, Counts: isPull,
	})
	d.serve(d.registry, registry)
	d.ready.ready.Store(true)
	return d, nil
}

// reconfigure takes over what can change while the doors are open. A certificate where there
// was none, or none any more, cannot.
func (d *doors) reconfigure(cfg *config.Config) {
	if d.certificate != nil && cfg.TLS.Certificate != nil {
		d.certificate.Replace(cfg.TLS.Certificate)
	}
	d.registry.Limit(maxConnections(cfg, d.logger))
}

func (d *doors) serve(s *server.Server, l net.Listener) {
	d.serving.Go(func() {
		if err := s.Serve(l); err != nil {
			d.failed <- err
		}
	})
}

// close stops the servers within a bound, the data plane first so that its end can still be
// watched.
func (d *doors) close(ctx context.Context, within time.Duration) error {
	defer d.serving.Wait()
	d.ready.ready.Store(false)
	err := d.registry.Drain(ctx, within)
	if errors.Is(err, server.ErrCut) {
		d.logger.Warn("requests were cut off: the time to stop is over")
		err = nil
	}
	if d.ops != nil {
		err = errors.Join(err, d.ops.Close())
	}
	return err
}

// isPull tells whether a request is part of a pull, after which more may come: for a manifest
// or a blob. Pings are what load balancers send as well, with any path before /v2/.
func isPull(r *http.Request) bool {
	folder, reference := path.Split(r.URL.Path)
	return reference != "" && strings.Contains(folder, "/v2/") &&
		(strings.HasSuffix(folder, "/manifests/") || strings.HasSuffix(folder, "/blobs/"))
}

func listen(ctx context.Context, key, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another address with `%s:`", err, key)
	}
	return l, nil
}

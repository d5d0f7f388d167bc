package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/berth-cache/berth/bench/image"
)

// headerBound is how long a client may take for a request's header.
const headerBound = time.Minute

// Server is a running upstream.
type Server struct {
	endpoint Endpoint
	control  string
	servers  []*http.Server
	serving  sync.WaitGroup
	closed   chan struct{}
}

// Endpoint is where registry clients find an upstream.
type Endpoint struct {
	// Addr is host:port.
	Addr string `json:"addr"`
	// Certificate is the PEM form of whom to trust; empty without TLS.
	Certificate string     `json:"certificate,omitempty"`
	Conditions  Conditions `json:"conditions"`
}

// URL is the base URL, without a slash at its end.
func (e Endpoint) URL() string {
	if e.Conditions.TLS {
		return "https://" + e.Addr
	}
	return "http://" + e.Addr
}

// Serve starts an upstream under conditions on two free ports of loopback. Close ends it.
func Serve(ctx context.Context, c Conditions) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("serve upstream: %w", err)
	}
	s := &Server{closed: make(chan struct{}), endpoint: Endpoint{Conditions: c}}
	data, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	control, err := listen(ctx)
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	s.endpoint.Addr, s.control = data.Addr().String(), control.Addr().String()
	counter, library := new(counter), image.NewLibrary()
	r := &registry{conditions: c, library: library, counter: counter, tokens: newTokens()}
	if err := s.start(&throttle{Listener: data, conditions: c, counter: counter, closed: s.closed}, r); err != nil {
		return nil, errors.Join(err, control.Close())
	}
	s.run(control, &http.Server{Handler: newDesk(s.endpoint, library, counter), ReadHeaderTimeout: headerBound})
	return s, nil
}

// Control is the address of the control desk.
func (s *Server) Control() string { return s.control }

// Close ends every connection and waits. It is called once.
func (s *Server) Close() error {
	close(s.closed)
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	s.serving.Wait()
	return errors.Join(errs...)
}

// start serves h on l, over TLS if the conditions say so.
func (s *Server) start(l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerBound,
		// Contenders that break connections are not the upstream's trouble.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	if !s.endpoint.Conditions.TLS {
		s.run(l, server)
		return nil
	}
	certificate, encoded, err := certify()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.endpoint.Certificate = string(encoded)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.servers = append(s.servers, server)
	s.serving.Go(func() { server.ServeTLS(l, "", "") }) //nolint:errcheck // it ends with Close
	return nil
}

func (s *Server) run(l net.Listener, server *http.Server) {
	s.servers = append(s.servers, server)
	s.serving.Go(func() { server.Serve(l) }) //nolint:errcheck // it ends with Close
}

func listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve upstream: %w", err)
	}
	return l, nil
}

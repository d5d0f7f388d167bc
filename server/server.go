package server

import (
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// requestBound is how long a client may take to send a request, and to agree on TLS.
	// net/http waits for a body, which none of ours has, before it answers.
	requestBound = 30 * time.Second
	// idleBound is how long a connection may wait for its next request.
	idleBound = 2 * time.Minute
	// maxHeader is of all headers of a request together, in bytes; net/http allows 4 KiB more.
	maxHeader = 64 << 10
	// maxStreams is how many requests one HTTP/2 connection may have running: a client pulls
	// some ten layers at once.
	maxStreams = 100
	// maxReceived is how much of a body an HTTP/2 connection may send ahead. Requests have none.
	maxReceived = 64 << 10
	// maxFrame is how large a frame of HTTP/2 may be, and so the buffer that each connection
	// may have us keep: net/http would take 1 MiB.
	maxFrame = 16 << 10
	// pingAfter finds out that the other end of an HTTP/2 connection has gone.
	pingAfter = 30 * time.Second
)

// Options are what a Server is made of. Handler is required.
type Options struct {
	Handler http.Handler
	// Logger may be nil.
	Logger *slog.Logger
	// Metrics may be nil; they are of one Server.
	Metrics *Metrics
	// MaxConnections is how many connections may be open at once, and how many requests may
	// run on all of them together; 0 is 1000.
	MaxConnections int
	// WriteStall is how long an answer, or each stretch of it that the handler sets a
	// deadline for, may take; 0 is a minute. Over HTTP/2 the handler sets every deadline.
	WriteStall time.Duration
	// Certificate makes it a TLS server, with HTTP/2; nil is plain HTTP/1.
	Certificate *Certificate
	// Counts tells whether a request keeps a stopping server open for those that may follow
	// it; nil is every request.
	Counts func(*http.Request) bool
}

// Server is an HTTP server on one listener. Close it when Serve has been called.
type Server struct {
	http        *http.Server
	handler     http.Handler
	counts      func(*http.Request) bool
	logger      *slog.Logger
	connections *connections
	requests    *requests
	secure      bool

	draining atomic.Bool
	last     atomic.Int64 // when a request that counts last began or ended while draining, Unix ns
}

// New returns a Server. It does no IO.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 1000
	}
	if o.WriteStall == 0 {
		o.WriteStall = time.Minute
	}
	if o.Counts == nil {
		o.Counts = func(*http.Request) bool { return true }
	}
	s := &Server{handler: o.Handler, counts: o.Counts, logger: o.Logger, secure: o.Certificate != nil}
	s.connections = newConnections(o.MaxConnections, o.Metrics, o.Logger)
	s.requests = newRequests(o.MaxConnections, o.Logger)
	s.http = &http.Server{
		Handler:     s,
		ReadTimeout: requestBound,
		IdleTimeout: idleBound,
		// For answers in one piece; longer ones renew it as they go.
		WriteTimeout:   o.WriteStall,
		MaxHeaderBytes: maxHeader,
		ConnState:      changed,
		ErrorLog:       log.New(errorLog{o.Logger, o.Metrics}, "", 0),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: maxReceived,
			MaxReceiveBufferPerStream:     maxReceived,
			MaxReadFrameSize:              maxFrame,
			SendPingTimeout:               pingAfter,
			WriteByteTimeout:              o.WriteStall,
		},
	}
	if s.secure {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: o.Certificate.get}
	}
	return s
}

// Limit changes how many connections may be open, and how many requests run, at once.
func (s *Server) Limit(connections int) {
	s.connections.limit(connections)
	s.requests.limit(connections)
}

// Serve answers on l until Drain or Close, when it returns nil, or until l fails. It closes l.
func (s *Server) Serve(l net.Listener) error {
	bounded := newListener(l, s.connections)
	serve := s.http.Serve
	if s.secure {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(bounded); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP implements http.Handler, for the connections of s.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		// Whoever asks again connects anew: to another replica, as soon as the balancer knows.
		w.Header().Set("Connection", "close")
		if s.counts(r) {
			s.note()
			defer s.note()
		}
	}
	if r.ProtoMajor == 2 {
		// It would reset the stream while the handler waits: over HTTP/1 only a write ends by it.
		//nolint:errcheck // a stream that is gone needs none
		http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
	if !s.requests.enter(r.Context()) {
		panic(http.ErrAbortHandler) // else an empty 200 goes to a client that only half left
	}
	defer s.requests.leave()
	s.handler.ServeHTTP(w, r)
}

func (s *Server) note() { s.last.Store(time.Now().UnixNano()) }

// Close ends everything at once.
func (s *Server) Close() error { return s.http.Close() }

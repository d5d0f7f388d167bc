package upstreamtest

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Registry is one fake registry: content, switches, faults and the record of requests.
// All methods are safe for concurrent use. Without switches it needs no login, supports
// ranges and referrers, and knows no repository.
type Registry struct {
	tb testing.TB

	// mu guards everything below. Handlers copy what they need and let go of it before
	// they write to the client.
	mu       sync.Mutex
	repos    map[string]*repository
	record   []Record
	faults   []*fault
	auth     auth
	switches switches
	limits   limits
}

// switches say how the registry behaves in general; the zero value is a plain one.
type switches struct {
	down, tokensDown bool
	noReferrers      bool
	noHead           bool
	noRanges         bool
	storage          string
	quirks
}

// New returns an empty registry that does not listen yet: call Start, or serve it
// yourself, which tests inside a synctest bubble must.
func New(tb testing.TB) *Registry {
	tb.Helper()
	return &Registry{tb: tb, repos: map[string]*repository{}}
}

// Start serves the registry on loopback until tb ends and returns its base URL.
func (r *Registry) Start(tb testing.TB) string {
	tb.Helper()
	return serve(tb, httptest.NewUnstartedServer(r), (*httptest.Server).Start)
}

// StartTLS is Start with TLS and HTTP/2. It also returns the pool with the authority
// that signed its certificate.
func (r *Registry) StartTLS(tb testing.TB) (string, *x509.CertPool) {
	tb.Helper()
	server := httptest.NewUnstartedServer(r)
	server.EnableHTTP2 = true
	base := serve(tb, server, (*httptest.Server).StartTLS)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return base, pool
}

// StartStorage serves the registry's blobs from a second address, as registries with a
// content delivery network do, and redirects GET and HEAD of blobs there. It returns the
// storage's base URL.
func (r *Registry) StartStorage(tb testing.TB) string {
	tb.Helper()
	base := serve(tb, httptest.NewUnstartedServer(r.Storage()), (*httptest.Server).Start)
	r.RedirectBlobs(base)
	return base
}

// serve runs server until tb ends. Connections are cut first, so that a handler that
// stalls on purpose does not hold up the end.
func serve(tb testing.TB, server *httptest.Server, start func(*httptest.Server)) string {
	tb.Helper()
	server.Config.ErrorLog = quiet
	start(server)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// ServeHTTP answers as the registry and its token service.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	op := parse(q)
	if r.isDown(op) {
		panic(http.ErrAbortHandler)
	}
	w, ok := r.admit(w, q, op)
	if !ok {
		return
	}
	if op.kind == kindToken {
		r.serveToken(w, q)
		return
	}
	if r.challenge(w, q, op) {
		return
	}
	r.serveContent(w, q, op)
}

// Storage is the handler behind RedirectBlobs: it needs no login, and refuses requests
// that carry one, as signed URLs do.
func (r *Registry) Storage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		op := parse(q)
		if r.isDown(op) {
			panic(http.ErrAbortHandler)
		}
		if w, ok := r.admit(w, q, op); ok {
			r.serveStorage(w, q, op)
		}
	})
}

// admit writes the request down and applies the first fault that matches. It returns the
// writer to answer with, and false if the fault has answered already.
func (r *Registry) admit(w http.ResponseWriter, q *http.Request, op operation) (http.ResponseWriter, bool) {
	r.write(q, op)
	f, found := r.faultFor(q)
	if !found {
		return w, true
	}
	return f.apply(w, q)
}

func (r *Registry) isDown(op operation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.switches.down || op.kind == kindToken && r.switches.tokensDown
}

func (r *Registry) setting() switches {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.switches
}

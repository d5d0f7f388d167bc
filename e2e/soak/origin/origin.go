package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/berth-cache/berth/e2e/certificate"
	"github.com/berth-cache/berth/e2e/port"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

// Options say what kind of registry an origin is.
type Options struct {
	// Tokens makes every request need one of the origin's token service, where anybody who
	// knows the password is given some.
	Tokens bool
	// Storage redirects blobs to another path, which refuses logins.
	Storage bool
	// NoRanges answers ranges with the whole.
	NoRanges bool
	// TLS serves HTTP/2 and HTTP/1 with a certificate of an authority that nobody knows.
	TLS bool
}

// Username and Password are those of an origin with Tokens.
const (
	Username = "robot"
	Password = "soak-secret"
)

// Origin is a running registry.
type Origin struct {
	Name, Addr string
	options    Options
	library    *truth.Library
	faults     *faults
	tokens     tokens
	requests   atomic.Int64
	// certificate is one of TLS, by an authority of its own.
	certificate certificate.Certificate

	// mu guards what is below.
	mu     sync.Mutex
	asked  map[string]int // by method and path, of what was let in
	met    int            // connections so far
	server *http.Server
	done   chan struct{} // closed when server has ended
	conns  map[net.Conn]http.ConnState
	// calm is closed when faults that last end: those of the mood that is set.
	calm chan struct{}
}

// New returns an origin that serves until tb ends.
func New(tb testing.TB, name string, library *truth.Library, options Options) *Origin {
	tb.Helper()
	o := &Origin{
		Name: name, Addr: port.Reserve(tb), options: options, library: library,
		faults: &faults{random: rand.New(rand.NewPCG(1, uint64(len(name)))), counts: map[Fault]int{}},
		conns:  map[net.Conn]http.ConnState{}, calm: make(chan struct{}), asked: map[string]int{},
	}
	if options.TLS {
		o.certificate = certificate.New(tb)
	}
	o.Start(tb)
	tb.Cleanup(func() {
		o.Calm()
		o.Stop()
	})
	return o
}

// Start serves again after Stop, at the same address.
func (o *Origin) Start(tb testing.TB) {
	tb.Helper()
	listener, err := port.Listen(tb.Context(), o.Addr)
	if err != nil {
		tb.Error(err) // not Fatal: storms end in other goroutines
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server != nil {
		tb.Errorf("%s is served already", o.Name)
		return
	}
	server := &http.Server{Handler: o, ErrorLog: log.New(io.Discard, "", 0), ConnState: o.connState} //nolint:gosec // no stranger comes here
	o.server, o.done = server, make(chan struct{})
	serve := server.Serve
	if o.options.TLS {
		pair, err := tls.X509KeyPair(o.certificate.Certificate, o.certificate.Key)
		if err != nil {
			tb.Fatal(err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	go func(done chan struct{}) {
		defer close(done)
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("serve %s: %v", o.Name, err)
		}
	}(o.done)
}

// Stop breaks all connections and refuses new ones.
func (o *Origin) Stop() {
	o.mu.Lock()
	server, done := o.server, o.done
	o.server = nil
	o.mu.Unlock()
	if server == nil {
		return
	}
	_ = server.Close() //nolint:errcheck // a listener's end cannot be mended
	<-done
}

// HangUp closes connections that nobody uses.
func (o *Origin) HangUp() {
	o.mu.Lock()
	conns := maps.Clone(o.conns)
	o.mu.Unlock()
	for conn, state := range conns {
		if state == http.StateIdle || state == http.StateNew {
			conn.Close()
		}
	}
}

func (o *Origin) connState(conn net.Conn, state http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(o.conns, conn)
		return
	}
	if state == http.StateNew {
		o.met++
	}
	o.conns[conn] = state
}

// Storm begins to spoil answers as mood says.
func (o *Origin) Storm(mood Mood) { o.faults.set(mood) }

// Calm ends all faults, those that last included.
func (o *Origin) Calm() {
	o.faults.set(nil)
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.calm)
	o.calm = make(chan struct{})
}

// lull is closed at the next Calm.
func (o *Origin) lull() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calm
}

// Faults are how many answers were spoiled so far, and how.
func (o *Origin) Faults() map[Fault]int { return o.faults.counted() }

// Requests are how many came so far.
func (o *Origin) Requests() int64 { return o.requests.Load() }

// Tokens tells whether requests need one.
func (o *Origin) Tokens() bool { return o.options.Tokens }

// Connections are how many were opened so far.
func (o *Origin) Connections() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.met
}

// Asked is how often each thing was asked for since the last time, by method and path, of
// requests for the whole of it that were let in.
func (o *Origin) Asked() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := o.asked
	o.asked = map[string]int{}
	return asked
}

func (o *Origin) note(q *http.Request) {
	if q.Header.Get("Range") != "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked[q.Method+" "+q.URL.Path]++
}

// URL is the origin as it is known by an address.
func (o *Origin) URL(addr string) string {
	if o.options.TLS {
		return "https://" + addr
	}
	return "http://" + addr
}

// ServeHTTP draws what happens to a request, and lets it happen.
func (o *Origin) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	o.requests.Add(1)
	l := o.faults.draw()
	if l.meets(Delay) {
		o.pause(q.Context(), 1+int(l.where*100))
	}
	if q.URL.Path == tokenPath {
		o.serveToken(w, q, l)
		return
	}
	if l.meets(TokenGone) {
		o.tokens.expire()
	}
	switch l.one(Early, Limited, Internal, Ill) {
	case Early:
		panic(http.ErrAbortHandler)
	case Limited:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
		return
	case Internal:
		refuse(w, http.StatusInternalServerError, "UNKNOWN")
		return
	case Ill:
		http.Error(w, "<html>ill</html>", http.StatusServiceUnavailable)
		return
	}
	if o.options.Tokens && !o.tokens.admit(w, q) {
		return
	}
	o.note(q)
	o.serve(w, q, l)
}

// pause waits so many milliseconds, at most until the storm is over.
func (o *Origin) pause(ctx context.Context, milliseconds int) {
	wait(ctx, o.lull(), milliseconds)
}

// Count counts a fault that came from outside.
func (o *Origin) Count(fault Fault) { o.faults.count(fault) }

// Authority is who signed the certificate of an origin with TLS, as PEM.
func (o *Origin) Authority() []byte { return o.certificate.Authority }

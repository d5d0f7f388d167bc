package registry

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/berth-cache/berth/e2e/port"
)

// Registry is a registry on a loopback address of its own, running from the start.
type Registry struct {
	addr       string
	credential Credential
	handler    http.Handler
	storage    string
	// login adds to a push what lets it into repository.
	login func(tb testing.TB, repository string, header http.Header)

	// mu guards the fields below.
	mu       sync.Mutex
	requests []string
	server   *http.Server
	served   chan struct{}
}

// Credential is a user with a password; the zero value is nobody.
type Credential struct {
	Username, Password string
}

// Serve runs handler as a registry without access control until tb ends.
func Serve(tb testing.TB, handler http.Handler) *Registry {
	tb.Helper()
	r := &Registry{addr: port.Reserve(tb), handler: handler}
	r.Start(tb)
	tb.Cleanup(func() { r.Stop(tb) })
	return r
}

// Addr is the registry's 127.0.0.1:port.
func (r *Registry) Addr() string { return r.addr }

// URL is the registry's base URL, without a slash at its end.
func (r *Registry) URL() string { return "http://" + r.addr }

// Storage is the folder of a distribution registry's blobs, sha256/ab/<digest>/data.
func (r *Registry) Storage() string { return r.storage }

// Credential is what the registry demands; the zero value where it demands nothing.
func (r *Registry) Credential() Credential { return r.credential }

// Start listens again on the same address. A registry that runs is left alone.
func (r *Registry) Start(tb testing.TB) {
	tb.Helper()
	if r.running() {
		return
	}
	listener, err := port.Listen(context.WithoutCancel(tb.Context()), r.addr)
	if err != nil {
		tb.Fatalf("start registry %s: %v", r.addr, err)
	}
	server := &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	r.mu.Lock()
	r.server, r.served = server, served
	r.mu.Unlock()
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("registry %s: %v", r.addr, err)
		}
	}()
}

// Stop ends every connection and refuses new ones until Start. It waits for the server.
func (r *Registry) Stop(tb testing.TB) {
	tb.Helper()
	r.mu.Lock()
	server, served := r.server, r.served
	r.server, r.served = nil, nil
	r.mu.Unlock()
	if server == nil {
		return
	}
	if err := server.Close(); err != nil {
		tb.Errorf("stop registry %s: %v", r.addr, err)
	}
	<-served
}

// Requests are the requests since the last Reset in order of arrival, as "METHOD path" or
// "METHOD path?query". Requests that arrive while the registry is stopped are refused and
// not seen.
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Count tells how many of Requests contain every one of the parts.
func (r *Registry) Count(parts ...string) int {
	n := 0
	for _, request := range r.Requests() {
		missing := func(part string) bool { return !strings.Contains(request, part) }
		if !slices.ContainsFunc(parts, missing) {
			n++
		}
	}
	return n
}

// Reset forgets the requests seen.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// Push stores index with everything in it as reference, which is "repository:tag". It
// carries the registry's credential; its requests are recorded like all others.
func (r *Registry) Push(tb testing.TB, reference string, index v1.ImageIndex) {
	tb.Helper()
	ref, err := name.ParseReference(r.addr+"/"+reference, name.Insecure, name.StrictValidation)
	if err != nil {
		tb.Fatalf("push %s: %v", reference, err)
	}
	header := http.Header{}
	if r.login != nil {
		r.login(tb, ref.Context().RepositoryStr(), header)
	}
	transport := withHeader{header: header, base: &http.Transport{DisableKeepAlives: true}}
	if err := remote.WriteIndex(ref, index, remote.WithContext(tb.Context()), remote.WithTransport(transport)); err != nil {
		tb.Fatalf("push %s to %s: %v", reference, r.addr, err)
	}
}

// withHeader sends header with every request. The pushing client would refuse the token
// service of Token itself: it stands on another port of a loopback address.
type withHeader struct {
	header http.Header
	base   http.RoundTripper
}

func (t withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, t.header)
	return t.base.RoundTrip(r)
}

func (r *Registry) running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server != nil
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI())
	r.mu.Unlock()
	r.handler.ServeHTTP(w, req)
}

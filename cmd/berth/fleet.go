package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"weak"

	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/upstream"
)

// fleet are the clients of the configured upstreams, and of former ones for as long as a
// request has them. It is not for concurrent use.
type fleet struct {
	// instance is what they are called in CDN-Loop.
	instance string

	logger  *slog.Logger
	metrics *upstream.Metrics
	crew    crew
	made    int
	// retired are weak: a request reaches its client through its route, so that one nobody
	// can reach has nothing running.
	retired []weak.Pointer[upstream.Client]
}

// crew are the clients of one configuration, by the upstream's name.
type crew map[string]member

// member is a client and what it was made of.
type member struct {
	settings config.Upstream
	client   *upstream.Client
	epoch    int // how many were made before it
}

// plan returns the crew for upstreams: those members whose settings are as before, with
// their tokens, connections and limits, and new ones for the others. Nothing is asked, and
// nothing given up, before enlist. Without that dismiss is to be called.
func (f *fleet) plan(upstreams []config.Upstream) (next crew, err error) {
	next = make(crew, len(upstreams))
	defer func() {
		if err != nil {
			f.dismiss(next)
		}
	}()
	for _, u := range upstreams {
		if m, ok := f.crew[u.Name]; ok && sameClient(m.settings, u) {
			next[u.Name] = m
			continue
		}
		c, err := f.newClient(u)
		if err != nil {
			return next, fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		next[u.Name] = member{u, c, f.made}
		f.made++
	}
	return next, next.distinct()
}

// dismiss closes those of a planned crew that only it has.
func (f *fleet) dismiss(planned crew) {
	for name, m := range planned {
		if f.crew[name].client != m.client {
			m.client.Close()
		}
	}
}

// distinct refuses two upstreams whose content could not be told apart. The configuration
// sees most of them, but not whose login a config.json holds.
func (c crew) distinct() error {
	names := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		id := c[name].client.Fingerprint()
		if other, taken := names[id]; taken {
			return fmt.Errorf("upstreams %s and %s have one url and one account: they would share one cache; make them one upstream", other, name)
		}
		names[id] = name
	}
	return nil
}

// sameClient tells whether two upstreams differ at most in what the catalog alone reads.
// A key that is not known here makes a new client, which is never wrong.
func sameClient(a, b config.Upstream) bool {
	for _, u := range []*config.Upstream{&a, &b} {
		u.Hardened, u.KeepDeleted = false, false
		u.Validity, u.NegativeValidity, u.ListValidity, u.MaxStale, u.MaxStaleRefused = 0, 0, 0, 0, 0
		u.Connections, u.SegmentSize, u.Owns = 0, 0, nil
		u.Referrers, u.ReferrersFor = "", nil
	}
	return reflect.DeepEqual(a, b)
}

// enlist makes next the crew, once no new request is routed to the others.
func (f *fleet) enlist(next crew) {
	f.retired = slices.DeleteFunc(f.retired, func(w weak.Pointer[upstream.Client]) bool { return w.Value() == nil })
	for name, m := range f.crew {
		if next[name].client != m.client {
			m.client.Retire()
			f.retired = append(f.retired, weak.Make(m.client))
		}
	}
	f.crew = next
}

// close ends all clients.
func (f *fleet) close() {
	for _, m := range f.crew {
		m.client.Close()
	}
	for _, w := range f.retired {
		if c := w.Value(); c != nil {
			c.Close()
		}
	}
}

func (f *fleet) newClient(u config.Upstream) (*upstream.Client, error) {
	roots, err := authorities(u.CA)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.CAFile, err)
	}
	return upstream.New(upstream.Config{
		Name: u.Name, URL: u.URL, Hosts: u.Hosts,
		Credentials: credentials(u.Credentials),
		Realms:      u.Realms, Private: u.Private, RootCAs: roots,
		Rate: upstream.Rate(u.Rate), Concurrency: u.Concurrency,
		UserAgent: "berth/" + version(), Instance: f.instance,
		Logger: f.logger, Metrics: f.metrics,
	})
}

var keychains = map[string]func() upstream.Credential{"ecr": upstream.ECR, "google": upstream.Google, "azure": upstream.Azure}

// credentials are what configured accounts are to a client.
func credentials(all []config.Credential) []upstream.Credential {
	var out []upstream.Credential
	for _, c := range all {
		switch {
		case c.DockerConfigFile != "":
			out = append(out, upstream.DockerConfig(c.DockerConfigFile, c.DockerConfig.Reveal()))
		case c.Keychain != "":
			out = append(out, keychains[c.Keychain]())
		default:
			out = append(out, upstream.Password(c.Username, c.Password.Reveal()))
		}
	}
	return out
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

package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/berth"
	"github.com/berth-cache/berth/e2e/client"
	"github.com/berth-cache/berth/e2e/registry"
)

// pullWithin bounds one call of a client.
const pullWithin = 90 * time.Second

// hubHost, basicHost and tokenHost are how clients choose one upstream.
const (
	hubHost   = "docker.io"
	basicHost = "basic.test"
	tokenHost = "token.test"
)

// world is a Berth with three upstreams that nobody else uses.
type world struct {
	*berth.Server
	// hub is open to all, basic wants a password, token wants tokens of service.
	hub, basic, token *registry.Registry
	service           *registry.TokenService
}

// upstreams starts three registries with no Berth in front.
func upstreams(t *testing.T) *world {
	t.Helper()
	w := &world{
		hub:     registry.Anonymous(t),
		basic:   registry.Basic(t, registry.Credential{Username: "robot", Password: "basic-secret"}),
		service: registry.NewTokenService(t, registry.Credential{Username: "robot", Password: "token-secret"}),
	}
	w.token = registry.Token(t, w.service)
	return w
}

// newWorld starts Berth with three upstreams. All are walked by default; hub alone is the
// registry of that path, and of the host localhost.
func newWorld(t *testing.T, tune func(berth.Upstream) berth.Upstream) *world {
	t.Helper()
	w := upstreams(t)
	token := tune(berth.Of(w.token, tokenHost))
	token.Realms = []string{w.service.Addr()}
	w.Server = berth.Start(t, binary, berth.Config{
		Upstreams: map[string]berth.Upstream{
			"hub":   tune(berth.Of(w.hub, hubHost)),
			"basic": tune(berth.Of(w.basic, basicHost)),
			"token": token,
		},
		Registries: map[string]berth.Registry{
			"default": {Upstreams: []string{"hub", "basic", "token"}},
			"hub":     {Upstreams: []string{"hub"}, Path: "hub", Hosts: []string{"localhost"}},
		},
	})
	return w
}

// asIs leaves an upstream with Berth's defaults.
func asIs(u berth.Upstream) berth.Upstream { return u }

// all are the registries and the token service.
func (w *world) all() []*registry.Registry {
	return []*registry.Registry{w.hub, w.basic, w.token, w.service.Registry}
}

// reset forgets all requests.
func (w *world) reset() {
	for _, r := range w.all() {
		r.Reset()
	}
}

// requests are all requests that left Berth since reset.
func (w *world) requests() []string {
	var requests []string
	for _, r := range w.all() {
		requests = append(requests, r.Requests()...)
	}
	return requests
}

// stop stops everything but Berth; the returned function starts it again.
func (w *world) stop(t *testing.T) (start func()) {
	t.Helper()
	for _, r := range w.all() {
		r.Stop(t)
	}
	return func() {
		for _, r := range w.all() {
			r.Start(t)
		}
	}
}

// setup is where clients find Berth. The client docker takes no path in a mirror's URL, so
// it is given the host that is the hub registry's own.
func (w *world) setup(program string) client.Setup {
	setup := client.Setup{Direct: w.Addr(), Mirror: w.URL() + "/hub"}
	if program == "docker" {
		setup.Mirror = strings.Replace(w.URL(), "127.0.0.1", "localhost", 1)
	}
	return setup
}

// pull is one bounded pull.
func pull(t *testing.T, c client.Client, ref string) (client.Pulled, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pullWithin)
	defer cancel()
	return c.Pull(ctx, ref)
}

// expand puts Berth's address into a name.
func expand(w *world, name string) string { return strings.Replace(name, "BERTH", w.Addr(), 1) }

func lastElement(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

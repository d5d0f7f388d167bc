package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/berth-cache/berth/e2e/berth"
	"github.com/berth-cache/berth/e2e/image"
	"github.com/berth-cache/berth/e2e/nginx"
	"github.com/berth-cache/berth/e2e/registry"
)

// party is a registry that somebody else made, as one of Berth's upstreams.
type party struct {
	*berth.Server
	registry    *registry.Registry
	stop, start func()
	// requests are those that left Berth since the last time, "... METHOD path ...".
	requests func() []string
}

// since returns a function that returns what came to lines since it was called last.
func since(lines func() []string) func() []string {
	seen := len(lines())
	return func() []string {
		all := lines()
		fresh := all[seen:]
		seen = len(all)
		return fresh
	}
}

func newParty(t *testing.T, u berth.Upstream) *berth.Server {
	t.Helper()
	return berth.Start(t, binary, berth.Config{
		Upstreams:  map[string]berth.Upstream{"party": u.Fresh()},
		Registries: map[string]berth.Registry{"default": {Upstreams: []string{"party"}}},
	})
}

// withTokens is distribution with a token service.
func withTokens(t *testing.T) party {
	service := registry.NewTokenService(t, registry.Credential{Username: "robot", Password: "secret"})
	r := registry.Token(t, service)
	u := berth.Of(r, tokenHost)
	u.Realms = []string{service.Addr()}
	return party{
		Server: newParty(t, u), registry: r, requests: since(r.Requests),
		stop:  func() { r.Stop(t); service.Stop(t) },
		start: func() { r.Start(t); service.Start(t) },
	}
}

// behind is distribution behind nginx.
func behind(t *testing.T, r *registry.Registry, o nginx.Options, realms ...string) party {
	if reason := nginx.Missing(); reason != "" && inCI {
		t.Fatal(reason)
	} else if reason != "" {
		t.Skip(reason)
	}
	o.Registry = r.URL()
	n := nginx.Start(t, o)
	u := berth.Of(r, "party.test")
	u.URL, u.CAFile, u.Realms = n.URL(), n.Authority(), realms
	return party{
		Server: newParty(t, u), registry: r, requests: since(func() []string { return n.Requests(t) }),
		stop: n.Stop, start: func() { n.Resume(t) },
	}
}

// TestParties pulls from registries and servers that are not ours, checks every byte, has
// tags confirmed and moved, and takes the other side away and brings it back.
func TestParties(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		join func(*testing.T) party
		// blobs is in each request for the bytes of a blob, and in no other.
		blobs string
		// speaks is in each request for a manifest; manifests are how many of those there
		// are: one more where a token is wanted, which the first answer tells.
		speaks    string
		manifests int
	}{
		"distribution with tokens": {withTokens, "/blobs/", "", 4},
		"nginx redirects to itself as a CDN": {func(t *testing.T) party {
			service := registry.NewTokenService(t, registry.Credential{Username: "robot", Password: "secret"})
			r := registry.Token(t, service)
			return behind(t, r, nginx.Options{Storage: r.Storage()}, service.Addr())
		}, "/data?signature=secret", "HTTP/1.1", 4},
		"nginx with HTTP/2 and a private authority": {func(t *testing.T) party {
			return behind(t, registry.Anonymous(t), nginx.Options{TLS: true})
		}, "/blobs/", "HTTP/2.0", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := test.join(t)
			first := image.New(t, image.Gzip, "party-first")
			p.registry.Push(t, "team/app:1", first.Index)
			p.requests()
			p.wantValid(t, first)
			lines := p.requests()
			if blobs, manifests := count(lines, "GET", test.blobs), count(lines, "GET", "/manifests/", test.speaks); blobs != len(first.Blobs()) || manifests != test.manifests {
				t.Errorf("cold: %d requests for %d blobs, %d for manifests: %q", blobs, len(first.Blobs()), manifests, lines)
			}
			p.wantValid(t, first)
			if lines := p.requests(); count(lines, "HEAD", "/manifests/1") == 0 || count(lines, "GET") > 0 {
				t.Errorf("confirmed with %q", lines)
			}

			p.stop()
			p.wantValid(t, first)
			p.start()
			p.requests()
			second := image.New(t, image.Gzip, "party-second")
			p.registry.Push(t, "team/app:1", second.Index)
			p.requests()
			p.wantMoved(t, second)

			// Connections that were kept are dead now, which no client notices.
			p.stop()
			p.start()
			third := image.New(t, image.Gzip, "party-third")
			p.registry.Push(t, "team/other:1", third.Index)
			wantIndex(t, p.Addr()+"/team/other:1", third)
		})
	}
}

// count tells how many lines contain every one of the parts.
func count(lines []string, parts ...string) int {
	n := 0
	for _, line := range lines {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

func (p party) wantValid(t *testing.T, want image.Image) {
	t.Helper()
	wantIndex(t, p.Addr()+"/team/app:1", want)
}

// wantMoved waits until the tag points to want: what knows that the other side is away asks
// it again after a while.
func (p party) wantMoved(t *testing.T, want image.Image) {
	t.Helper()
	limit, tick := time.After(answerWithin), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for head(t, p.URL()+"/v2/team/app/manifests/1").Header.Get("Docker-Content-Digest") != want.Digest {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("the tag has not moved within %s", answerWithin)
		}
	}
	p.wantValid(t, want)
}

// wantIndex has go-containerregistry pull an index with everything in it, and check it.
func wantIndex(t *testing.T, reference string, want image.Image) {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref, remote.WithContext(t.Context()), remote.WithTransport(plain.Transport))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil || digest.String() != want.Digest {
		t.Fatalf("%s is %s, %v; want %s", reference, digest, err, want.Digest)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("%s: %v", reference, err)
	}
}

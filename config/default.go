package config

import (
	"log/slog"
	"net/url"
	"slices"
	"time"
)

const (
	defaultListen = "127.0.0.1:5000"
	defaultOps    = "127.0.0.1:5001"
	// dataWithFile is for an installed service, dataWithoutFile for someone who tries the
	// binary in a folder of their own.
	dataWithFile    = "/var/lib/berth"
	dataWithoutFile = "./berth-data"
	// defaultRegistry is the registry that needs no path in an image's name.
	defaultRegistry = "default"
	// defaultMinFree lets others write, and Berth its index, on a disk that is shared.
	defaultMinFree = 1 << 30
	// defaultScrub reads 100 GiB in three hours, and no disk notices.
	defaultScrub = 10 << 20
)

// hubHost is the registry that Docker Hub's images come from, and hubNames are what the
// images are called by.
const hubHost = "registry-1.docker.io"

var hubNames = []string{"docker.io", "index.docker.io"}

// Default returns the configuration that holds without a file: Docker Hub, Docker
// Hardened Images, Microsoft and Quay behind one registry, without credentials, on
// loopback, with its data in ./berth-data.
func Default() *Config {
	c := base()
	c.Data = dataWithoutFile
	c.Upstreams = builtin()
	c.Registries = []Registry{wholeRegistry(c.Upstreams)}
	return c
}

// base returns what a file that says nothing means, without upstreams and registries.
func base() *Config {
	return &Config{
		Listen: defaultListen,
		Ops:    defaultOps,
		PProf:  true,
		Drain:  30 * time.Second,
		Data:   dataWithFile,
		Cache:  Cache{MinFree: defaultMinFree, Scrub: defaultScrub},
		Log:    Log{Level: slog.LevelInfo, Format: LogText},
	}
}

// newUpstream returns an upstream of that name with every default set.
func newUpstream(name string) Upstream {
	return Upstream{
		Name:             name,
		Validity:         24 * time.Hour,
		NegativeValidity: time.Minute,
		ListValidity:     time.Minute,
		MaxStale:         30 * day,
		MaxStaleRefused:  24 * time.Hour,
		Connections:      4,
		SegmentSize:      8 << 20,
	}
}

// builtin returns the upstreams of a configuration that names none.
func builtin() []Upstream {
	upstream := func(name, host string, more ...string) Upstream {
		u := newUpstream(name)
		u.URL = &url.URL{Scheme: "https", Host: host}
		u.Hosts = append(slices.Clone(more), host)
		return u
	}
	hub := upstream("docker-hub", hubHost, hubNames...)
	dhi := upstream("dhi", "dhi.io")
	dhi.Hardened = true
	return []Upstream{hub, dhi, upstream("mcr", "mcr.microsoft.com"), upstream("quay", "quay.io")}
}

// wholeRegistry returns the default registry over all the upstreams, in their order.
func wholeRegistry(upstreams []Upstream) Registry {
	r := Registry{Name: defaultRegistry}
	for _, u := range upstreams {
		source := slices.ContainsFunc(upstreams, func(o Upstream) bool { return o.Referrers == u.Name })
		if !source {
			r.Upstreams = append(r.Upstreams, u.Name)
		}
	}
	return r
}

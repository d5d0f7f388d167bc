package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/pull"
	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const berthURL = "http://berth.test"

// far is one upstream of a rig: a registry at http://<name>.test, or where its kind is.
type far struct {
	name string
	kind upstreamtest.Kind
	// secure: at https.
	secure         bool
	hosts          []string
	user, password string
	change         func(*catalog.Upstream)
	// client changes what its client is made of.
	client func(*upstream.Config)
	// berth: it is a Berth, of this rig or another in the same network.
	berth bool
}

func (f far) url() string {
	if f.kind != "" {
		return f.kind.URL()
	}
	if f.secure {
		return "https://" + f.name + ".test"
	}
	return "http://" + f.name + ".test"
}

// plan is what a rig is made of.
type plan struct {
	upstreams []far
	// registry changes the registry "default", which has all upstreams in order.
	registry func(*catalog.Registry)
	// more are further registries, made of the upstreams by name.
	more func(upstreams map[string]*catalog.Upstream) []*catalog.Registry
	// state is used instead of a file of the rig's own.
	state state.Store
	// dir is used instead of a folder of the rig's own.
	dir string
	// store is put between the contents and the disk.
	store func(store.Store) store.Store
	// log, if set, is written to as well.
	log io.Writer
	// options changes what the handler is made of.
	options func(*proxy.Options)
	// network is used instead of one of the rig's own, and name instead of "berth": the rig
	// is at http://<name>.test.
	network *upstreamtest.Network
	name    string
	// seen, if set, is called with each request.
	seen func(*http.Request)
}

// rig is a whole Berth in a network in memory: client, proxy and recording upstreams. It
// works inside a synctest bubble too.
type rig struct {
	tb      testing.TB
	plan    plan
	network *upstreamtest.Network
	hubs    map[string]*upstreamtest.Registry
	client  *http.Client
	dir     string
	url     string
	// instance is the Berth's name in CDN-Loop.
	instance string
	metrics  *prometheus.Registry
	stop     func()

	mu      sync.Mutex // guards handler, which restart replaces
	handler http.Handler
}

// newRig builds and starts a rig, which ends with tb.
func newRig(tb testing.TB, p plan) *rig {
	tb.Helper()
	r := &rig{tb: tb, plan: p, network: p.network, hubs: map[string]*upstreamtest.Registry{}, dir: tb.TempDir(), url: berthURL, instance: proxy.NewInstance()}
	if p.network == nil {
		r.network = upstreamtest.NewNetwork(tb)
	}
	if p.name != "" {
		r.url = "http://" + p.name + ".test"
	}
	if p.dir != "" {
		r.dir = p.dir
	}
	for _, f := range p.upstreams {
		if f.berth {
			continue
		}
		r.hubs[f.name] = upstreamtest.New(tb)
		if f.kind != "" {
			r.network.ServeKind(f.kind, r.hubs[f.name])
			continue
		}
		r.network.Serve(f.url(), r.hubs[f.name])
	}
	r.network.Serve(r.url, r)
	transport := &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: 200,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			addrs, err := r.network.LookupNetIP(ctx, "ip", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				return nil, err
			}
			return r.network.DialContext(ctx, network, addrs[0].String()+":80")
		},
	}
	r.client = &http.Client{Transport: transport}
	r.start()
	tb.Cleanup(func() {
		transport.CloseIdleConnections()
		r.stop()
	})
	return r
}

// ServeHTTP serves whichever Berth runs now.
func (r *rig) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	h := r.handler
	r.mu.Unlock()
	if r.plan.seen != nil {
		r.plan.seen(q)
	}
	h.ServeHTTP(w, q)
}

// start assembles a Berth over the rig's folder.
func (r *rig) start() {
	r.tb.Helper()
	var log io.Writer = testLog{r.tb}
	if r.plan.log != nil {
		log = io.MultiWriter(log, r.plan.log)
	}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	facts, closeFacts := r.openState()
	disk, err := store.OpenDisk(filepath.Join(r.dir, "content"), store.DiskOptions{Logger: logger})
	check(r.tb, err)
	r.metrics = prometheus.NewRegistry()
	var held store.Store = disk
	if r.plan.store != nil {
		held = r.plan.store(disk)
	}
	contents := cache.NewContents(held, cache.ContentOptions{Logger: logger, Metrics: cache.NewMetrics(r.metrics, disk.Usage)})
	index := cache.NewIndex(facts, cache.IndexOptions{Logger: logger})
	known := r.upstreams(logger)
	puller := pull.New(pull.Options{
		Contents: contents, Index: index, Logger: logger, Metrics: pull.NewMetrics(r.metrics),
	})
	options := proxy.Options{Catalog: r.catalog(known), Puller: puller, Logger: logger, Metrics: proxy.NewMetrics(r.metrics), Instance: r.instance}
	if r.plan.options != nil {
		r.plan.options(&options)
	}
	r.mu.Lock()
	r.handler = proxy.New(options)
	r.mu.Unlock()
	r.stop = func() {
		puller.Close()
		check(r.tb, contents.Close(context.Background()))
		index.Close()
		for _, u := range known {
			u.Client.(*upstream.Client).Close()
		}
		check(r.tb, disk.Close())
		check(r.tb, closeFacts())
	}
}

// restart ends Berth and starts another over the same folder.
func (r *rig) restart() {
	r.tb.Helper()
	r.stop()
	r.start()
}

func (r *rig) openState() (state.Store, func() error) {
	if r.plan.state != nil {
		return r.plan.state, func() error { return nil }
	}
	bolt, err := state.OpenBolt(filepath.Join(r.dir, "state.db"), state.BoltOptions{})
	check(r.tb, err)
	return bolt, bolt.Close
}

func (r *rig) upstreams(logger *slog.Logger) map[string]*catalog.Upstream {
	metrics := upstream.NewMetrics(r.metrics)
	known := map[string]*catalog.Upstream{}
	for _, f := range r.plan.upstreams {
		u, err := url.Parse(f.url())
		check(r.tb, err)
		cfg := upstream.Config{
			Name: f.name, URL: u, Credentials: []upstream.Credential{upstream.Password(f.user, f.password)},
			Resolver: r.network, DialContext: r.network.DialContext, RootCAs: r.network.Roots(), Logger: logger, Metrics: metrics, Instance: r.instance,
			Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		}
		if f.client != nil {
			f.client(&cfg)
		}
		c, err := upstream.New(cfg)
		check(r.tb, err)
		k := &catalog.Upstream{
			Name: f.name, ID: c.Fingerprint(), Client: c, Hosts: append(f.hosts, f.name+".test"), Login: f.user != "",
			Validity: 24 * time.Hour, NegativeValidity: time.Minute, ListValidity: time.Minute,
			MaxStale: 30 * 24 * time.Hour, MaxStaleRefused: 24 * time.Hour,
		}
		if f.change != nil {
			f.change(k)
		}
		known[f.name] = k
	}
	return known
}

func (r *rig) catalog(known map[string]*catalog.Upstream) *catalog.Catalog {
	reg := &catalog.Registry{Name: "default"}
	for _, f := range r.plan.upstreams {
		reg.Upstreams = append(reg.Upstreams, known[f.name])
	}
	if r.plan.registry != nil {
		r.plan.registry(reg)
	}
	all := []*catalog.Registry{reg}
	if r.plan.more != nil {
		all = append(all, r.plan.more(known)...)
	}
	snapshot, err := catalog.NewSnapshot(all)
	check(r.tb, err)
	return catalog.New(snapshot)
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body []byte
	// cut is the error of reading the body.
	cut error
}

// do sends a request, e.g. do("GET", "/v2/library/alpine/manifests/3", "Range", "bytes=0-1").
func (r *rig) do(method, path string, header ...string) answer {
	r.tb.Helper()
	q, err := http.NewRequestWithContext(context.Background(), method, r.url+path, http.NoBody)
	check(r.tb, err)
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Add(header[i], header[i+1])
	}
	response, err := r.client.Do(q)
	check(r.tb, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response, body, err}
}

func (r *rig) get(path string) answer { r.tb.Helper(); return r.do("GET", path) }

// pulled fetches path, which must succeed with these bytes.
func (r *rig) pulled(path string, want []byte) answer {
	r.tb.Helper()
	a := r.get(path)
	if a.StatusCode != http.StatusOK || a.cut != nil || string(a.body) != string(want) {
		r.tb.Fatalf("GET %s: %s, %d bytes, cut %v; want 200 and %d bytes\n%s", path, a.Status, len(a.body), a.cut, len(want), first(a.body))
	}
	return a
}

// asked compares what an upstream was asked since the last time with want.
func (r *rig) asked(name string, want ...string) {
	r.tb.Helper()
	got := r.hubs[name].Requests()
	r.hubs[name].Reset()
	if diff := cmp.Diff(want, got, emptyIsNil); diff != "" {
		r.tb.Errorf("requests at %s (-want +got):\n%s", name, diff)
	}
}

var emptyIsNil = cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())

func manifestPath(repository, reference string) string {
	return "/v2/" + repository + "/manifests/" + reference
}

func blobPath(repository string, d digest.Digest) string {
	return "/v2/" + repository + "/blobs/" + d.String()
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func first(b []byte) string { return string(b[:min(len(b), 400)]) }

// testLog shows warnings in a failing test's output.
type testLog struct{ tb testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.tb.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

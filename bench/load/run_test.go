package load_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/upstream"
)

var noConditions upstream.Conditions

func TestPullGetsAllOfAnImage(t *testing.T) {
	for name, conditions := range map[string]upstream.Conditions{
		"plain": {},
		"TLS":   {TLS: true},
		"login": {Auth: true},
		"both":  {Auth: true, TLS: true},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, control, m := registry(t, conditions)
			r := run(t, load.Plan{
				Addr: endpoint.Addr, Certificate: endpoint.Certificate, Login: conditions.Auth,
				Pull: &load.Pull{Image: spec, Clients: 7, Parallel: 3},
			})
			if r.Requests != 7 || r.Failed != 0 || r.Bytes != 7*m.Size() {
				t.Errorf("%+v", r)
			}
			if r.FirstByte.Max <= 0 || r.FirstByte.Max > r.Latency.Max || r.Latency.Max > r.Wall {
				t.Errorf("first byte %+v, whole pull %+v, wall %s", r.FirstByte, r.Latency, r.Wall)
			}
			got, err := control.Counters(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := upstream.Counters{Manifests: 7, Blobs: 28, Bytes: 7 * m.Size(), Requests: got.Requests, Connections: got.Connections}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("asked of the server (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPullOfNothingFails(t *testing.T) {
	endpoint, _, _ := registry(t, noConditions)
	other := image.Spec{Repository: "bench/other", Layers: []int64{10}}
	r := run(t, load.Plan{Addr: endpoint.Addr, Pull: &load.Pull{Image: other, Clients: 4, Parallel: 2}})
	if r.Failed != 4 || r.Requests != 0 {
		t.Errorf("%+v", r)
	}
}

// One layer that is wrong is a failed pull.
func TestPullComparesLayers(t *testing.T) {
	m, err := image.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	library := image.NewLibrary()
	library.AddImage(m)
	for _, wrong := range append(m.Layers[:2:2], m.Config) {
		addr := answering(t, func(w http.ResponseWriter, r *http.Request) {
			_, reference, _ := strings.Cut(r.URL.Path, "/blobs/")
			b, isBlob := library.Blob(spec.Repository, digest.Digest(reference))
			content := b.Bytes()
			if !isBlob {
				content = m.Manifest
			}
			if reference == wrong.Digest.String() {
				content[len(content)-1] ^= 1
			}
			body(content)(w, r)
		})
		r := run(t, load.Plan{Addr: addr, Pull: &load.Pull{Image: spec, Clients: 2, Parallel: 3}})
		if r.Failed != 2 || r.Requests != 0 || r.Bytes != 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestSweepAsksForEachOnce(t *testing.T) {
	endpoint, control, _ := registry(t, noConditions)
	pool := image.Pool{Repository: "pool", Count: 1000, Size: 64}
	if err := control.AddPool(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	r := run(t, load.Plan{Addr: endpoint.Addr, Sweep: &load.Sweep{Pool: pool, From: 100, To: 1000, Connections: 8}})
	if r.Requests != 900 || r.Failed != 0 || r.Bytes != 900*64 {
		t.Errorf("%+v", r)
	}
	if n, err := control.Counters(t.Context()); err != nil || n.Blobs != 900 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestRepeatEndsInTime(t *testing.T) {
	target, content := blob(100)
	endless := repeat(target, 1<<40)
	endless.Duration = 20 * time.Millisecond
	r := run(t, load.Plan{Addr: answering(t, body(content)), Repeat: endless})
	if r.Requests == 0 || r.Failed != 0 {
		t.Errorf("%+v", r)
	}
}

func TestFaultyPlans(t *testing.T) {
	target, _ := blob(100)
	good := func() load.Plan { return load.Plan{Addr: "127.0.0.1:1", Bound: bound, Repeat: repeat(target, 1)} }
	for name, spoil := range map[string]func(*load.Plan){
		"nothing to do":  func(p *load.Plan) { p.Repeat = nil },
		"two things":     func(p *load.Plan) { p.Pull = &load.Pull{Image: spec, Clients: 1, Parallel: 1} },
		"no bound":       func(p *load.Plan) { p.Bound = 0 },
		"no address":     func(p *load.Plan) { p.Addr = "" },
		"no connections": func(p *load.Plan) { p.Repeat.Connections = 0 },
		"no end":         func(p *load.Plan) { p.Repeat.Duration = 0 },
		"writes":         func(p *load.Plan) { p.Repeat.Method = "PUT" },
		"nothing pulled": func(p *load.Plan) { p.Repeat, p.Pull = nil, &load.Pull{Image: spec, Clients: 1} },
		"beyond a pool": func(p *load.Plan) {
			p.Repeat, p.Sweep = nil, &load.Sweep{Pool: image.Pool{Count: 5}, To: 6, Connections: 1}
		},
		"trusts nobody": func(p *load.Plan) { p.Certificate = "none" },
	} {
		t.Run(name, func(t *testing.T) {
			p := good()
			spoil(&p)
			if _, err := load.Run(t.Context(), p); !errors.Is(err, load.ErrPlan) {
				t.Errorf("error %v", err)
			}
		})
	}
}

package contender_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/floor"
	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// built makes the programs; those of berth itself are tested with the rows.
func built(t *testing.T) contender.Programs {
	t.Helper()
	folder := t.TempDir()
	t.Setenv(contender.BinaryVariable, "/bin/false")
	p, err := contender.Build(t.Context(), "..", folder)
	if err != nil {
		t.Fatal(err)
	}
	if p.Berth != "/bin/false" {
		t.Errorf("berth is %s, not what %s says", p.Berth, contender.BinaryVariable)
	}
	return p
}

func setting(t *testing.T) contender.Setting {
	t.Helper()
	return contender.Setting{Folder: t.TempDir(), Upstream: upstream.Endpoint{Addr: "127.0.0.1:1"}}
}

// A server is started, costs something, is started again with what it has, and ends.
func TestFloor(t *testing.T) {
	p := built(t)
	spec := image.Spec{Repository: "bench/app", Layers: []int64{100_000}}
	s := setting(t)
	s.Stock = floor.Stock{Images: []image.Spec{spec}}
	server, err := p.Start(t.Context(), contender.Floor, s)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	for _, path := range []string{"/v2/bench/app/manifests/latest", "/v2/"} {
		plan := server.Plan(load.Plan{Bound: 60e9, Pull: &load.Pull{Image: spec, Clients: 2, Parallel: 2}})
		if r, err := load.Run(t.Context(), plan); err != nil || r.Requests != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		if err := server.ResetPeak(); err != nil {
			t.Error(err)
		}
		if u, err := server.Usage(); err != nil || u.PeakRSS <= 0 {
			t.Errorf("%+v, %v", u, err)
		}
		if took, err := server.Restart(t.Context(), path); err != nil || took <= 0 {
			t.Errorf("restarted in %s, %v", took, err)
		}
	}
	server.Stop()
	if _, err := server.Usage(); err == nil {
		t.Error("it still runs")
	}
}

func TestDirectIsTheUpstream(t *testing.T) {
	s := setting(t)
	s.Upstream.Certificate, s.Upstream.Conditions = "a certificate", upstream.Conditions{TLS: true, Auth: true}
	server, err := contender.Programs{}.Start(t.Context(), contender.Direct, s)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	want := load.Plan{Addr: "127.0.0.1:1", Certificate: "a certificate", Login: true}
	if diff := cmp.Diff(want, server.Plan(load.Plan{})); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if u, err := server.Usage(); err != nil || u.CPU != 0 || u.PeakRSS != 0 {
		t.Errorf("it costs %+v, %v", u, err)
	}
}

func TestAbsent(t *testing.T) {
	for name, c := range map[string]struct {
		contender string
		change    func(*contender.Setting)
		want      string
	}{
		"nobody":   {"zot", func(*contender.Setting) {}, "there is no zot"},
		"no nginx": {contender.Nginx, func(*contender.Setting) {}, "not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := setting(t)
			c.change(&s)
			_, err := contender.Programs{}.Start(t.Context(), c.contender, s)
			if !errors.Is(err, contender.ErrAbsent) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	s := setting(t)
	s.Upstream.Conditions.Auth = true
	if _, err := (contender.Programs{Nginx: "/bin/false"}).Start(t.Context(), contender.Nginx, s); !errors.Is(err, contender.ErrAbsent) {
		t.Errorf("nginx and tokens: %v", err)
	}
}

// The configuration that is written is one that nginx takes.
func TestNginxTakesItsConfiguration(t *testing.T) {
	nginx, err := exec.LookPath("/usr/sbin/nginx")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("nginx is not installed, and has to be where CI=true: ", err)
		}
		t.Skip("nginx is not installed")
	}
	s := setting(t)
	s.Keys, s.MaxObjects = 1_000_000, 5000
	remote, err := upstream.Serve(t.Context(), upstream.Conditions{})
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	if s.Upstream, err = upstream.NewControl(remote.Control()).Endpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err := contender.Programs{Nginx: nginx}.Start(t.Context(), contender.Nginx, s)
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	content, err := os.ReadFile(filepath.Join(s.Folder, "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"keys_zone=bench:182m max_size=20000k ", "access_log " + s.Folder, "proxy_cache_lock on;", "worker_processes 2;"} {
		if !strings.Contains(string(content), want) {
			t.Errorf("the configuration lacks %q", want)
		}
	}
}

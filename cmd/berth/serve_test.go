package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestServePullsAndStops(t *testing.T) {
	hub := upstreamtest.New(t)
	url := hub.Start(t)
	hub.RequireToken("me", "upstream-secret")
	image := hub.AddImage("library/app", "1", noise(1, 3<<20), []byte("small"))
	index := hub.AddIndex("library/app", "latest", image)
	p := start(t, t.TempDir(), upstreamOf(url, `, username: me, password: upstream-secret`))
	p.want(t, p.ops+"/healthz", 200, []byte("ok\n"))
	p.want(t, p.ops+"/readyz", 200, []byte("ready\n"))
	p.want(t, p.url+"/metrics", 404, nil)
	p.pulls(t, "library/app:latest", index, image)
	hub.Stop()
	p.pulls(t, "library/app:latest", index, image)

	p.wantObjects(t, 5)
	_, metrics, err := p.get(p.ops + "/metrics")
	must(t, err)
	for _, line := range []string{
		`berth_requests_total{kind="blob",outcome="miss",registry="default",upstream="hub"} 3`,
		`berth_requests_total{kind="ping",outcome="ping",registry="default",upstream=""} 2`,
		`berth_upstream_info{hardened="false",host="` + strings.TrimPrefix(url, "http://") + `",upstream="hub"} 1`,
		`berth_fills_started_total 3`,
	} {
		if !bytes.Contains(metrics, []byte("\n"+line+"\n")) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
	if text := p.log(); strings.Contains(text, "secret") || !strings.Contains(text, `"msg":"stopped"`) || p.errors.Len() > 0 {
		t.Errorf("the log is\n%s%s", text, p.errors.String())
	}
}

// stalled is an upstream with one blob, of which it sends 200,000 of 300,000 bytes before
// release is closed.
func stalled(t *testing.T) (hub *upstreamtest.Registry, blob []byte, release chan struct{}) {
	t.Helper()
	hub, blob, release = upstreamtest.New(t), noise(1, 300_000), make(chan struct{})
	hub.AddBlob("app", blob)
	hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 200_000})
	return hub, blob, release
}

func TestStopLetsPullsFinish(t *testing.T) {
	hub, blob, release := stalled(t)
	p := start(t, t.TempDir(), "drain: 1m\n"+upstreamOf(hub.Start(t), ""))
	body, head := p.begin(t, blobURL(p, "app", hub.AddBlob("app", blob)), 100_000)
	defer body.Close()
	p.signal(t, syscall.SIGTERM)
	eventually(t, "readyz says 503", func() bool {
		status, text, err := p.get(p.ops + "/readyz")
		return err == nil && status == http.StatusServiceUnavailable && string(text) == "stopping\n"
	})
	p.want(t, p.ops+"/healthz", 200, []byte("ok\n"))
	manifest := hub.AddImage("app", "1", noise(2, 1000))
	p.want(t, p.url+"/v2/app/manifests/1", 200, manifest.Manifest) // the pull goes on
	close(release)
	rest, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(append(head, rest...), blob) {
		t.Errorf("%d and %d bytes, %v", len(head), len(rest), err)
	}
	p.want(t, blobURL(p, "app", manifest.Layers[0]), 200, noise(2, 1000))
	p.wantExit(t, 0)
}

// A pull is many requests, and goes on when Berth is told to stop after the first.
func TestPullBegunBeforeTheStop(t *testing.T) {
	hub := upstreamtest.New(t)
	image := hub.AddImage("app", "1", noise(1, 100_000), noise(2, 100_000), noise(3, 100_000))
	p := start(t, t.TempDir(), "drain: 1m\n"+upstreamOf(hub.Start(t), ""))
	p.want(t, p.url+"/v2/app/manifests/1", 200, image.Manifest)
	p.signal(t, syscall.SIGTERM)
	eventually(t, "readyz says 503", func() bool {
		status, _, err := p.get(p.ops + "/readyz")
		return err == nil && status == http.StatusServiceUnavailable
	})
	for _, d := range append(image.Layers, image.Config) {
		status, body, err := p.get(blobURL(p, "app", d))
		if err != nil || status != 200 || d.Algorithm().FromBytes(body) != d {
			t.Errorf("blob %s: %d and %d bytes, %v", d, status, len(body), err)
		}
	}
	p.wantExit(t, 0)
	if _, _, err := p.get(p.url + "/v2/"); err == nil {
		t.Error("it answers after its end")
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	hub, blob, _ := stalled(t)
	p := start(t, t.TempDir(), "drain: 1m\n"+upstreamOf(hub.Start(t), ""))
	body, _ := p.begin(t, blobURL(p, "app", hub.AddBlob("app", blob)), 100_000)
	defer body.Close()
	p.signal(t, syscall.SIGTERM)
	eventually(t, "it says that it stops", func() bool { return strings.Contains(p.log(), `"msg":"stopping`) })
	eventually(t, "another signal ends it", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			// It is the system's from about the time of the line; one that came before
			// was a first one still.
			if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
			return false
		}
	})
	if status, ok := p.command.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %s, want by the signal", p.command.ProcessState)
	}
	if strings.Contains(p.log(), `"msg":"stopped"`) {
		t.Error("it took the time to stop in order")
	}
}

func TestKilledInMidFill(t *testing.T) {
	kept, torn := noise(2, 100_000), noise(3, 3_000_000)
	for range 3 {
		hub := upstreamtest.New(t)
		url := hub.Start(t)
		at := rand.IntN(len(torn)-2) + 1
		keptDigest, tornDigest := hub.AddBlob("app", kept), hub.AddBlob("app", torn)
		hub.Fail(upstreamtest.On("GET blob app@"+upstreamtest.Short(tornDigest)), upstreamtest.Fault{
			Release: make(chan struct{}), StallAfter: int64(at),
		})
		folder := t.TempDir()
		p := start(t, folder, upstreamOf(url, ""))
		p.want(t, blobURL(p, "app", keptDigest), 200, kept)
		p.wantObjects(t, 1)
		// It is counted when it is recorded, and has its name after that.
		eventually(t, "it has left staging", func() bool { return staged(t, folder) == 0 })
		body, _ := p.begin(t, blobURL(p, "app", tornDigest), at/2)
		if n := staged(t, folder); n != 1 {
			t.Errorf("%d files in staging during one fill", n)
		}
		p.signal(t, syscall.SIGKILL)
		<-p.ended
		body.Close()

		hub.Stop()
		p = start(t, folder, upstreamOf(url, ""))
		if n := staged(t, folder); n != 0 {
			t.Errorf("cut at %d: %d files left in staging", at, n)
		}
		p.want(t, blobURL(p, "app", keptDigest), 200, kept)
		p.want(t, blobURL(p, "app", tornDigest), 503, nil)
		hub.Resume()
		hub.Mend()
		hub.Reset()
		p.want(t, blobURL(p, "app", tornDigest), 200, torn)
		if diff := cmp.Diff([]string{"GET blob app@" + upstreamtest.Short(tornDigest)}, hub.Requests()); diff != "" {
			t.Errorf("cut at %d: requests (-want +got):\n%s", at, diff)
		}
		p.signal(t, syscall.SIGTERM)
		p.wantExit(t, 0)
	}
}

// An upstream that is down is told where readiness is asked for, which does not suffer.
func TestReadinessTellsOfIllUpstreams(t *testing.T) {
	p := start(t, t.TempDir(), upstreamOf("http://127.0.0.1:1", ""))
	for range 3 {
		p.want(t, p.url+"/v2/app/manifests/1", 503, nil)
	}
	status, text, err := p.get(p.ops + "/readyz")
	must(t, err)
	first, rest, _ := strings.Cut(string(text), "\n")
	if status != 200 || first != "ready" || !strings.HasPrefix(rest, "upstream hub: 127.0.0.1:1 is down since 2") || !strings.HasSuffix(rest, "Z: connection refused\n") {
		t.Errorf("%d %q", status, text)
	}
}

// staged is how many files are on their way into the store below folder.
func staged(t *testing.T, folder string) int {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(folder, "data", "content", "staging"))
	must(t, err)
	return len(files)
}

func TestWhatKeepsItFromStarting(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	running := t.TempDir()
	start(t, running, upstreamOf("http://127.0.0.1:1", ""))
	file := written(t, "in the way")
	for name, test := range map[string]struct {
		keys string
		want []string // in the error
	}{
		"listen is taken":         {"listen: " + taken.Addr().String() + "\nops: 127.0.0.1:0\ndata: data\n", []string{taken.Addr().String(), "address already in use", "`listen:`"}},
		"ops is taken":            {"listen: 127.0.0.1:0\nops: " + taken.Addr().String() + "\ndata: data\n", []string{taken.Addr().String(), "address already in use", "`ops:`"}},
		"data is a file":          {"listen: 127.0.0.1:0\nops: \"\"\ndata: " + file + "\n", []string{file, "`data:`"}},
		"data is below a file":    {"listen: 127.0.0.1:0\nops: \"\"\ndata: " + file + "/data\n", []string{file, "`data:`"}},
		"data is another's":       {"listen: 127.0.0.1:0\nops: \"\"\ndata: " + running + "/data\n", []string{running, "another"}},
		"the certificate is none": {"listen: 127.0.0.1:0\nops: \"\"\ndata: data\nupstreams: {a: {url: \"https://a.example\", ca_file: " + file + "}}\n", []string{"ca_file"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := runs(t, "serve", "--config", written(t, test.keys))
			if got.Status != 1 && got.Status != 2 || strings.Count(got.Errors, "\n") != 1 {
				t.Errorf("status %d, errors %q; want one line", got.Status, got.Errors)
			}
			for _, want := range test.want {
				if !strings.Contains(got.Errors, want) {
					t.Errorf("%q lacks %q", got.Errors, want)
				}
			}
			if strings.Contains(got.Out, `"serving"`) {
				t.Errorf("it served:\n%s", got.Out)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	path := written(t, "listen: 127.0.0.1:0\nops: \"\"\ndata: data\nlog: {format: json}\n"+upstreamOf("http://127.0.0.1:1", ""))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, out := io.Pipe()
	result := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"serve", "--config", path}, out)
		result <- errors.Join(err, out.Close())
	}()
	var messages []string
	var asked sync.WaitGroup
	defer asked.Wait()
	for lines := json.NewDecoder(in); ; {
		var line struct{ Msg, Address string }
		if err := lines.Decode(&line); err != nil {
			break
		}
		messages = append(messages, line.Msg)
		switch line.Msg {
		case "request":
			cancel()
		case "serving":
			p := process{}
			p.client.Transport = &http.Transport{DisableKeepAlives: true}
			// Its access line is not written before it is read here.
			asked.Go(func() { p.want(t, "http://"+line.Address+"/v2/", 200, []byte("{}")) })
		}
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"serving", "request", "stopping: pulls may finish", "stopped"}, messages); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestServeWithoutItsStateSaysSo(t *testing.T) {
	p := start(t, t.TempDir(), "state: {redis: \"redis://127.0.0.1:1\"}\n"+upstreamOf("http://127.0.0.1:1", ""))
	eventually(t, "the log warns", func() bool {
		return strings.Contains(p.log(), `"level":"WARN","msg":"state cannot be reached, pulls go on without it","error":"get `)
	})
	p.want(t, p.url+"/v2/app/manifests/1", 503, nil)
	_, metrics, err := p.get(p.ops + "/metrics")
	must(t, err)
	for _, line := range []string{`berth_state_errors_total{op="delete"} 0`, `berth_state_errors_total{op="read"} 0`} {
		if got := bytes.Contains(metrics, []byte("\n"+line+"\n")); got != strings.Contains(line, "delete") {
			t.Errorf("/metrics has %s: %t", line, got)
		}
	}
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
	if text := p.log(); !strings.Contains(text, `"msg":"stopping: pulls may finish","within":1}`) || !strings.Contains(text, `"msg":"stopped"`) {
		t.Errorf("the log is\n%s", text)
	}
}

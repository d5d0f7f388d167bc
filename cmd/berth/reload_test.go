package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// wantMetric waits for a line of /metrics.
func (p *process) wantMetric(t *testing.T, line string) {
	t.Helper()
	eventually(t, "/metrics has "+line, func() bool {
		_, metrics, err := p.get(p.ops + "/metrics")
		return err == nil && bytes.Contains(metrics, []byte("\n"+line+"\n"))
	})
}

// wantLog waits for a text in the log.
func (p *process) wantLog(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the log has "+text, func() bool { return strings.Contains(p.log(), text) })
}

// reload makes the program read its configuration again, and waits until it has.
func (p *process) reload(t *testing.T, result string) {
	t.Helper()
	line := regexp.MustCompile(fmt.Sprintf(`\nberth_config_reloads_total{result=%q} (\d+)\n`, result))
	count := func() string {
		_, metrics, err := p.get(p.ops + "/metrics")
		must(t, err)
		return string(line.FindSubmatch(metrics)[1])
	}
	before := count()
	p.signal(t, syscall.SIGHUP)
	eventually(t, "a configuration is "+result, func() bool { return count() != before })
}

// load has clients ask for url all the time until stop, and counts.
type load struct {
	asked, failed atomic.Int64
	group         sync.WaitGroup
	end           chan struct{}
}

func (p *process) load(t *testing.T, url string, want []byte) *load {
	l := &load{end: make(chan struct{})}
	for range 4 {
		l.group.Go(func() {
			for {
				select {
				case <-l.end:
					return
				default:
				}
				l.asked.Add(1)
				if status, body, err := p.get(url); err != nil || status != 200 || !bytes.Equal(body, want) {
					l.failed.Add(1)
					t.Errorf("GET %s: %d and %d bytes, %v", url, status, len(body), err)
				}
			}
		})
	}
	return l
}

// stop ends the load, of which no request may have failed.
func (l *load) stop(t *testing.T) {
	t.Helper()
	close(l.end)
	l.group.Wait()
	t.Logf("%d requests, %d failed", l.asked.Load(), l.failed.Load())
	if l.asked.Load() == 0 {
		t.Error("nothing was asked")
	}
}

func TestReloadUnderLoad(t *testing.T) {
	hub, blob, release := upstreamtest.New(t), noise(1, 300_000), make(chan struct{})
	hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, Release: release, StallAfter: 200_000, CutAfter: 250_000})
	url := hub.Start(t)
	image := hub.AddImage("app", "1")
	other := upstreamtest.New(t)
	otherURL := other.Start(t)
	there := other.AddImage("there", "1")
	folder := t.TempDir()
	p := start(t, folder, upstreamOf(url, ""))
	p.want(t, p.url+"/v2/there/manifests/1", 404, nil)
	both := fmt.Sprintf("upstreams: {hub: {url: %q, validity: forever}, other: {url: %q, hardened: true}}\n", url, otherURL)
	body, head := p.begin(t, blobURL(p, "app", hub.AddBlob("app", blob)), 100_000)
	defer body.Close()

	held := p.url + "/v2/app/manifests/" + image.Digest.String()
	p.want(t, held, 200, image.Manifest)
	l := p.load(t, held, image.Manifest)
	for range 5 {
		configure(t, folder, both)
		p.reload(t, "applied")
		p.want(t, p.url+"/v2/there/manifests/1?ns=127.0.0.1:"+port(otherURL), 200, there.Manifest)
		p.wantMetric(t, `berth_upstream_info{hardened="true",host="`+strings.TrimPrefix(otherURL, "http://")+`",upstream="other"} 1`)
		configure(t, folder, upstreamOf(url, ""))
		p.reload(t, "applied")
		p.want(t, p.url+"/v2/there/manifests/1", 404, nil)
	}
	l.stop(t)
	if n := len(hub.Requests()); n != 3 {
		t.Errorf("the upstream that stayed was asked %d times, want 3: %q", n, hub.Requests())
	}

	// The upstream of a blob that is on its way is gone from the configuration. When the
	// connection breaks, what is left of the blob is fetched from there all the same.
	configure(t, folder, upstreamOf(otherURL, ""))
	p.reload(t, "applied")
	close(release)
	rest, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(append(head, rest...), blob) {
		t.Errorf("%d and %d bytes, %v", len(head), len(rest), err)
	}
	if n := len(hub.Requests()); n != 4 {
		t.Errorf("the upstream that is gone was asked %q, want one request for what was left", hub.Requests())
	}
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
}

func port(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }

func TestFaultyConfigurationIsRefusedWhole(t *testing.T) {
	hub := upstreamtest.New(t)
	url := hub.Start(t)
	image := hub.AddImage("app", "1")
	folder := t.TempDir()
	p := start(t, folder, upstreamOf(url, ""))
	p.wantMetric(t, "berth_config_last_reload_successful 1")
	path := configure(t, folder, "drain: soon\nupstreams: {}\n")
	p.reload(t, "refused")
	p.wantMetric(t, "berth_config_last_reload_successful 0")
	for _, want := range []string{`"line":`, `"key":"drain"`, `"key":"upstreams"`, `"fault":"is empty; name at least one upstream`, path} {
		p.wantLog(t, want)
	}
	p.want(t, p.url+"/v2/app/manifests/1", 200, image.Manifest)

	// The mended file is taken without a signal; the fault was told once until then.
	configure(t, folder, "log: {format: json, level: debug}\n"+upstreamOf(url, ""))
	p.wantMetric(t, `berth_config_reloads_total{result="applied"} 1`)
	p.wantMetric(t, `berth_config_reloads_total{result="refused"} 1`)
	p.wantMetric(t, "berth_config_last_reload_successful 1")

	must(t, os.Remove(path))
	p.reload(t, "refused")
	p.want(t, p.url+"/v2/app/manifests/1", 200, image.Manifest)
}

func TestEmptiedConfigurationIsRefused(t *testing.T) {
	hub := upstreamtest.New(t)
	image := hub.AddImage("app", "1")
	folder := t.TempDir()
	p := start(t, folder, upstreamOf(hub.Start(t), ""))
	for _, text := range []string{"", "# upstreams:\n", "---\n"} {
		must(t, os.WriteFile(filepath.Join(folder, "berth.yaml"), []byte(text), 0o600))
		p.reload(t, "refused")
	}
	p.wantLog(t, `"fault":"is empty; write {} into it to have all defaults"`)
	p.want(t, p.url+"/v2/app/manifests/1", 200, image.Manifest)
	must(t, os.WriteFile(filepath.Join(folder, "berth.yaml"), []byte("{}\n"), 0o600))
	p.reload(t, "applied")
}

// Opening a pipe waits for whoever writes to it.
func TestConfigurationThatBecomesAPipe(t *testing.T) {
	hub := upstreamtest.New(t)
	image := hub.AddImage("app", "1")
	folder := t.TempDir()
	p := start(t, folder, upstreamOf(hub.Start(t), ""))
	path := filepath.Join(folder, "berth.yaml")
	must(t, os.Remove(path))
	must(t, syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600))
	must(t, os.Symlink("pipe", path))
	p.reload(t, "refused")
	p.wantLog(t, `"fault":"is no regular file`)
	p.want(t, p.url+"/v2/app/manifests/1", 200, image.Manifest)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
}

// What comes out of a pipe is the configuration until the end.
func TestConfigurationOutOfAPipe(t *testing.T) {
	p := &process{command: command(t, "serve", "--config", "/dev/stdin")}
	text := "listen: 127.0.0.1:0\nops: 127.0.0.1:0\ndata: " + t.TempDir() + "\nlog: {format: json}\ndrain: 1s\n" + upstreamOf("http://127.0.0.1:1", "")
	in, err := p.command.StdinPipe()
	must(t, err)
	p.run(t)
	_, err = io.WriteString(in, text)
	must(t, err)
	must(t, in.Close())
	p.serves(t)
	p.reload(t, "refused")
	p.want(t, p.url+"/v2/", 200, nil)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
}

func TestKeysThatNeedARestart(t *testing.T) {
	folder := t.TempDir()
	p := start(t, folder, upstreamOf("http://127.0.0.1:1", ""))
	configure(t, folder, "log: {format: text, level: warn}\nstate: {redis: \"redis://127.0.0.1:1\"}\npprof: false\ncache: {max_size: 1MiB, scrub: 0}\n"+upstreamOf("http://127.0.0.1:1", ""))
	p.reload(t, "applied")
	p.wantLog(t, `"msg":"these keys changed and are used at the next start","keys":["pprof","state","log.format"]`)
	p.wantMetric(t, "berth_content_limit_bytes 1.048576e+06")
	p.want(t, p.url+"/v2/", 200, nil)
	if strings.Contains(p.log(), `"msg":"request"`) {
		t.Error("a request was logged at level warn")
	}
}

// Kubernetes swaps a link to a folder beside the one that the file's name is a link into.
func TestFilesBehindLinks(t *testing.T) {
	hub := upstreamtest.New(t)
	url := hub.Start(t)
	hub.RequireToken("me", "second")
	image := hub.AddImage("app", "1")
	folder := t.TempDir()
	version := func(name, password string) {
		must(t, os.Mkdir(filepath.Join(folder, name), 0o700))
		must(t, os.WriteFile(filepath.Join(folder, name, "password"), []byte(password), 0o600))
		must(t, os.Symlink(name, filepath.Join(folder, "next")))
		must(t, os.Rename(filepath.Join(folder, "next"), filepath.Join(folder, "..data")))
	}
	version("v1", "first")
	must(t, os.Symlink("..data/password", filepath.Join(folder, "password")))
	p := start(t, folder, upstreamOf(url, ", username: me, password_file: password"))
	p.want(t, p.url+"/v2/app/manifests/1", 502, nil)
	version("v2", "second")
	p.wantMetric(t, `berth_config_reloads_total{result="applied"} 1`)
	p.want(t, p.url+"/v2/app/manifests/1", 200, image.Manifest)
}

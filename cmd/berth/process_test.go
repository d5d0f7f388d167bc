package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// process is a running program with one upstream, hub.
type process struct {
	command *exec.Cmd
	// url and ops are the base URLs of the registry and of its health checks.
	url, ops string
	client   http.Client
	stdout   io.Closer     // our end of it
	serving  chan struct{} // closed when url and ops are known
	ended    chan struct{} // closed when the process has ended
	errors   bytes.Buffer  // standard error, to be read after that

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

// upstreamOf are the lines of a configuration that make hub the only upstream; more are
// further keys, such as ", username: me".
func upstreamOf(url, more string) string {
	return fmt.Sprintf("upstreams:\n  hub: {url: %q%s}\nregistries:\n  default: {upstreams: [hub]}\n", url, more)
}

// configure writes the configuration of a program whose data is in folder/data, and returns
// its path. Unless keys say otherwise it takes a second to stop, and a machine that is short
// of space stores all the same.
func configure(t *testing.T, folder, keys string) string {
	t.Helper()
	path := filepath.Join(folder, "berth.yaml")
	text := "listen: 127.0.0.1:0\nops: 127.0.0.1:0\ndata: data\n"
	for key, usual := range map[string]string{"log": "{format: json}", "drain": "1s", "cache": "{min_free: 0}"} {
		if !strings.Contains("\n"+keys, "\n"+key+":") {
			text += key + ": " + usual + "\n"
		}
	}
	must(t, os.WriteFile(path, []byte(text+keys), 0o600))
	return path
}

// start runs the program until it ends or the test does, configured with keys and in an
// environment that has more.
func start(t *testing.T, folder, keys string, environment ...string) *process {
	t.Helper()
	path := configure(t, folder, keys)
	p := &process{command: command(t, "serve", "--config", path)}
	p.command.Env = append(p.command.Env, environment...)
	p.run(t)
	p.serves(t)
	return p
}

// run runs the command until it ends or the test does.
func (p *process) run(t *testing.T) {
	t.Helper()
	p.ended, p.serving = make(chan struct{}), make(chan struct{})
	p.client.Transport = &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	p.command.Stderr = &p.errors
	out, err := p.command.StdoutPipe()
	must(t, err)
	p.stdout = out
	must(t, p.command.Start())
	go p.follow(t, out)
	t.Cleanup(func() {
		if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-p.ended
	})
}

// serves waits until the program does.
func (p *process) serves(t *testing.T) {
	t.Helper()
	select {
	case <-p.serving:
	case <-p.ended:
		t.Fatalf("the program ended: %s\n%s%s", p.command.ProcessState, p.log(), p.errors.String())
	}
}

// follow reads the log to its end, and the addresses out of it, and waits for the process.
func (p *process) follow(t *testing.T, out io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.mu.Lock()
		p.out.Write(append(lines.Bytes(), '\n'))
		p.mu.Unlock()
		var line struct {
			Msg, Address string
			TLS          bool
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("the log has %q: %v", lines.Text(), err)
		}
		switch line.Msg {
		case "metrics and health checks":
			p.ops = "http://" + line.Address
		case "serving":
			p.url = "http://" + line.Address
			if line.TLS {
				p.url = "https://" + line.Address
			}
			close(p.serving)
		}
	}
	if err := p.command.Wait(); err != nil && p.command.ProcessState == nil {
		t.Error(err)
	}
}

// log is what the program has logged so far.
func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, p.command.Process.Signal(s))
}

// wantExit waits for the end.
func (p *process) wantExit(t *testing.T, status int) {
	t.Helper()
	<-p.ended
	if got := p.command.ProcessState.ExitCode(); got != status {
		t.Errorf("ended with %s, want status %d\n%s%s", p.command.ProcessState, status, p.log(), p.errors.String())
	}
}

// get returns the status and all of the body.
func (p *process) get(url string) (int, []byte, error) {
	response, err := p.client.Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func (p *process) want(t *testing.T, url string, status int, body []byte) {
	t.Helper()
	gotStatus, got, err := p.get(url)
	if err != nil || gotStatus != status || body != nil && !bytes.Equal(got, body) {
		t.Errorf("GET %s: %d and %d bytes, %v; want %d and %d bytes\n%.400s", url, gotStatus, len(got), err, status, len(body), got)
	}
}

// wantObjects waits until the store holds n objects: what has been served may have its
// commit before it.
func (p *process) wantObjects(t *testing.T, n int) {
	t.Helper()
	line := fmt.Sprintf("\nberth_content_objects %d\n", n)
	eventually(t, fmt.Sprintf("%d objects are held", n), func() bool {
		_, metrics, err := p.get(p.ops + "/metrics")
		return err == nil && bytes.Contains(metrics, []byte(line))
	})
}

// pulls pulls an index by name:tag and one image of it, as docker does.
func (p *process) pulls(t *testing.T, name string, index, image upstreamtest.Image) {
	t.Helper()
	repo, tag, _ := strings.Cut(name, ":")
	base := p.url + "/v2/" + repo
	p.want(t, p.url+"/v2/", http.StatusOK, []byte("{}"))
	response, err := p.client.Head(base + "/manifests/" + tag)
	must(t, err)
	must(t, response.Body.Close())
	if got := response.Header.Get("Docker-Content-Digest"); got != index.Digest.String() {
		t.Errorf("HEAD: %s, digest %q", response.Status, got)
	}
	p.want(t, base+"/manifests/"+index.Digest.String(), http.StatusOK, index.Manifest)
	p.want(t, base+"/manifests/"+image.Digest.String(), http.StatusOK, image.Manifest)
	for _, d := range append(image.Layers[:len(image.Layers):len(image.Layers)], image.Config) {
		status, body, err := p.get(blobURL(p, repo, d))
		if err != nil || status != http.StatusOK || d.Algorithm().FromBytes(body) != d {
			t.Errorf("blob %s: %d and %d bytes, %v", d, status, len(body), err)
		}
	}
}

func blobURL(p *process, repo string, d digest.Digest) string {
	return p.url + "/v2/" + repo + "/blobs/" + d.String()
}

// begin opens a blob and reads the first n bytes of it. The caller closes the body.
func (p *process) begin(t *testing.T, url string, n int) (io.ReadCloser, []byte) {
	t.Helper()
	response, err := p.client.Get(url)
	must(t, err)
	head := make([]byte, n)
	if _, err := io.ReadFull(response.Body, head); err != nil {
		response.Body.Close()
		t.Fatal(err)
	}
	return response.Body, head
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// noise is n bytes that are always the same for a seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{seed}).Read(b); err != nil {
		panic(err) // it never fails
	}
	return b
}

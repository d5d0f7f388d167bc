package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// planted are the secrets that Berth is given in TestNothingPlantedIsEmitted, or gets to see.
var planted = struct{ literal, file, environment, proxy, client, docker string }{
	"Planted/literal+1 x", "Planted?file&2", "Planted#environment%3", "PlantedProxy4", "PlantedClient5", "PlantedDocker6",
}

// traces finds secrets in what Berth emits, in every form that they have on their way.
func traces(text string) []string {
	found := regexp.MustCompile(`token-\d+|signature=|[?&]sig=`).FindAllString(text, -1)
	p := planted
	for _, secret := range []string{p.literal, p.file, p.environment, p.proxy, p.client, p.docker} {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte("me:" + secret)), fmt.Sprintf("%x", secret)} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				found = append(found, form)
			}
		}
	}
	return found
}

// echo is a registry that repeats what it is sent, in every place that an answer has.
func echo(w http.ResponseWriter, q *http.Request) {
	login := q.Header.Get("Authorization")
	_, password, _ := q.BasicAuth()
	tag := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
	h := w.Header()
	h.Set("Docker-Ratelimit-Source", password)
	for _, name := range []string{"Etag", "Warning", "Docker-Content-Digest"} {
		h.Set(name, password)
	}
	h.Set("Link", fmt.Sprintf(`<%s?last=%s>; rel="next"`, q.URL.Path, url.QueryEscape(password)))
	h.Set("Ratelimit-Limit", "100;w=60")
	h.Set("Ratelimit-Remaining", "50;w=60")
	h.Set("Www-Authenticate", `Basic realm="`+login+`"`)
	said := upstreamtest.ErrorBody(login, "you said "+login+", which is "+password+" at http://x.test/a?sig="+url.QueryEscape(password))
	switch {
	case login == "":
		w.WriteHeader(http.StatusUnauthorized)
	case strings.Contains(q.URL.Path, "/referrers/"):
		h.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		h.Set("OCI-Filters-Applied", password)
		fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
	case tag == "list":
		h.Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"name":"app","tags":["1"]}`)
	case tag == "redirected":
		h.Set("Location", "http://me:"+url.PathEscape(password)+"@x.invalid/a?sig="+url.QueryEscape(password))
		w.WriteHeader(http.StatusFound)
	case tag == "realm":
		h.Set("Www-Authenticate", `Bearer realm="https://x.invalid/`+url.PathEscape(password)+`?sig=`+url.QueryEscape(password)+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	case tag == "typed":
		h.Set("Content-Type", password)
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, `{"schemaVersion":2}`)
	case tag == "bytes":
		h.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		fmt.Fprint(w, login, password)
	default:
		status := map[string]int{"missing": 404, "forbidden": 403, "limited": 429, "broken": 500, "odd": 418}[tag]
		w.WriteHeader(max(status, 401))
		w.Write(said) //nolint:errcheck // the client sees what is missing
	}
}

// paths are what clients ask for, by host.
func (w *plantation) paths() []string {
	paths := []string{
		"/v2/hub.test/app/manifests/1", "/v2/hub.test/app/manifests/gone", "/v2/hub.test/gone/tags/list", "/v2/hub.test/app/tags/list?last=" + planted.client,
		"/v2/hub.test/app/referrers/" + w.image.Digest.String() + "?artifactType=" + planted.client,
		"/v2/echo.test/app/tags/list", "/v2/echo.test/app/referrers/" + w.image.Digest.String(), "/v2/far.test/app/manifests/1", "/v2/nobody.test/app/manifests/1", "/v2/?token=" + planted.client, "/elsewhere?x=" + planted.client,
	}
	for _, d := range w.image.Layers {
		paths = append(paths, "/v2/hub.test/app/blobs/"+d.String()+"?token="+planted.client)
	}
	for _, tag := range []string{"typed", "bytes", "redirected", "realm", "odd", "missing", "forbidden", "broken", "limited"} {
		paths = append(paths, "/v2/echo.test/app/manifests/"+tag)
	}
	return paths
}

// plantation is a Berth with secrets, and what it emits to clients.
type plantation struct {
	*process
	hub    *upstreamtest.Registry
	image  upstreamtest.Image
	folder string
	docker string // what login.json holds

	mu      sync.Mutex // guards answers
	answers strings.Builder
}

// ask sends a request with secrets of a client's and keeps all of the answer but content.
func (w *plantation) ask(t *testing.T, path string) {
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, http.NoBody)
	if err != nil {
		t.Error(err)
		return
	}
	q.SetBasicAuth("me", planted.client)
	q.Header.Set("Cookie", planted.client)
	response, err := w.client.Do(q)
	if err != nil {
		return // cut off
	}
	defer response.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(response.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintln(&w.answers, q.URL.Path, response.Status, response.Header, err)
	if response.StatusCode >= 400 {
		w.answers.Write(body.Bytes())
	}
}

// alone has one client ask for everything, so that nothing is held back for what others met.
func (w *plantation) alone(t *testing.T) {
	t.Helper()
	for _, path := range w.paths() {
		w.ask(t, path)
	}
}

// round has clients ask for everything at once.
func (w *plantation) round(t *testing.T) {
	t.Helper()
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for _, path := range w.paths() {
				w.ask(t, path)
			}
		})
	}
	clients.Wait()
}

func plant(t *testing.T) (w *plantation, configured string) {
	t.Helper()
	w = &plantation{hub: upstreamtest.New(t)}
	w.hub.RequireToken("me", planted.literal)
	w.image = w.hub.AddImage("app", "1", noise(1, 100_000), noise(2, 100_000), noise(3, 100_000))
	w.hub.StartStorage(t)
	repeats := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(repeats.Close)
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "password"), []byte(planted.file+"\n"), 0o600))
	w.docker = fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, strings.TrimPrefix(repeats.URL, "http://"), base64.StdEncoding.EncodeToString([]byte("me:"+planted.docker)))
	must(t, os.WriteFile(filepath.Join(folder, "login.json"), []byte(w.docker), 0o600))
	w.folder = folder
	keys := fmt.Sprintf(`log: {format: json, level: debug}
upstreams:
  hub: {url: %q, hosts: [hub.test], validity: 0s, username: me, password: %q}
  echo: {url: %q, hosts: [echo.test], validity: 0s, credentials: [{username: me, password_file: password}, {docker_config: login.json}]}
  far: {url: "https://far.invalid", hosts: [far.test], username: me, password: "${PLANTED}"}
registries:
  default: {upstreams: [hub, echo, far]}
`, w.hub.Start(t), planted.literal, repeats.URL)
	w.process = start(t, folder, keys, environment()...)
	return w, keys
}

// environment is that of a Berth with secrets.
func environment() []string {
	proxy := "http://me:" + planted.proxy + "@127.0.0.1:1"
	return []string{"PLANTED=" + planted.environment, "HTTPS_PROXY=" + proxy, "HTTP_PROXY=" + proxy}
}

// Whatever Berth is told in confidence, or learns, is in nothing that it says: not in its
// logs, nor its metrics, its readiness, its profiles, its answers or what it prints of its
// configuration; while all is well, and while upstreams fail in every way and repeat to
// it what it sent.
func TestNothingPlantedIsEmitted(t *testing.T) {
	w, keys := plant(t)
	w.alone(t)
	w.round(t)
	w.hub.Fail(upstreamtest.On("GET storage"), upstreamtest.Fault{Times: 3, Status: http.StatusServiceUnavailable})
	w.hub.Fail(upstreamtest.On("HEAD manifest"), upstreamtest.Fault{Times: 3, CutAfter: -1})
	w.hub.ExpireTokens()
	w.round(t)
	w.hub.RequireToken("me", "rotated")
	w.hub.ExpireTokens()
	w.round(t)
	w.hub.Stop()
	w.round(t)

	emitted := map[string]string{"answers": w.answers.String()}
	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"} {
		status, body, err := w.get(w.ops + path)
		if must(t, err); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
		emitted[path] = string(body)
	}
	w.signal(t, syscall.SIGTERM)
	w.wantExit(t, 0)
	emitted["log"], emitted["stderr"] = w.log(), w.errors.String()
	must(t, filepath.WalkDir(filepath.Join(w.folder, "data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		emitted[path] = string(data)
		return err
	}))
	for name, text := range printed(t, keys, w.docker) {
		emitted[name] = text
	}
	for name, text := range emitted {
		for line := range strings.Lines(text) {
			if found := traces(line); len(found) > 0 {
				t.Errorf("%s: %q in %.600s", name, found, line)
				break // one of many
			}
		}
	}
	for _, line := range []string{`"msg":"request"`, "login refused", "\"level\":\"DEBUG\""} { // else nothing was looked at
		if !strings.Contains(emitted["log"], line) {
			t.Errorf("the log has no %s", line)
		}
	}
	if len(traces("x "+base64.StdEncoding.EncodeToString([]byte("me:"+planted.file))+" token-12")) != 2 {
		t.Error("what is looked for is not found")
	}
}

// printed is what comes of printing the configuration.
func printed(t *testing.T, keys, docker string) map[string]string {
	t.Helper()
	lookup := func(string) (string, bool) { return planted.environment, true }
	keys = strings.Replace(keys, "password_file: password", "password: "+fmt.Sprintf("%q", planted.file), 1)
	cfg, err := config.Parse("berth.yaml", []byte("data: x\n"+keys), lookup)
	must(t, err)
	asJSON, err := json.Marshal(cfg)
	must(t, err)
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "login.json"), []byte(docker), 0o600))
	checked := command(t, "check", "--config", configure(t, folder, keys))
	checked.Env = append(checked.Env, environment()...)
	said, err := checked.CombinedOutput() // it ends with 3, since upstreams are ill
	if !bytes.Contains(said, []byte("login refused")) {
		t.Errorf("check: %v\n%s", err, said)
	}
	return map[string]string{
		"%v": fmt.Sprintf("%v", cfg), "%+v": fmt.Sprintf("%+v", *cfg), "%#v": fmt.Sprintf("%#v", cfg.Upstreams), "json": string(asJSON), "check": string(said),
	}
}

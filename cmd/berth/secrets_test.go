package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// gossip is a registry that repeats what it was sent, in every place where it may. What is
// asked for names the status.
func gossip(w http.ResponseWriter, q *http.Request) {
	said := strings.TrimPrefix(strings.TrimPrefix(q.Header.Get("Authorization"), "Basic "), "Bearer ")
	if user, password, ok := q.BasicAuth(); ok {
		said = fmt.Sprintf("%s %s %s %s", said, user, password, url.QueryEscape(password))
	}
	for _, name := range []string{"Docker-Ratelimit-Source", "Etag", "Retry-After", "Location", "Warning", "Oci-Filters-Applied", "Docker-Content-Digest", "Www-Authenticate"} {
		w.Header().Set(name, said)
	}
	w.Header().Set("Link", fmt.Sprintf(`<%s?last=%s>; rel="next"`, q.URL.Path, url.QueryEscape(said)))
	w.Header().Set("Ratelimit-Limit", "1")
	w.Header().Set("Ratelimit-Remaining", "1")
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json; said="+strconv.Quote(said))
	name, _, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/v2/"), "/")
	token := q.URL.Path == "/token"
	switch {
	case said == "" && !token:
		challenge := fmt.Sprintf(`Bearer realm="http://%s/token"`, q.Host)
		if strings.HasPrefix(name, "basic") {
			challenge = `Basic realm="x"`
		}
		w.Header().Set("Www-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	case token:
		fmt.Fprint(w, `{"token": "t0ken-hunter2", "expires_in": 3600}`)
	default:
		status, err := strconv.Atoi(name[max(0, len(name)-3):])
		if err != nil {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		if status != http.StatusOK {
			fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q,"detail":%q}]}`, said, said)
			return
		}
		fmt.Fprint(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	}
}

// TestNothingTellsASecretUnderLoad looks for planted secrets in all that the program tells:
// answers, log, metrics, what check prints, and what is on the disk.
func TestNothingTellsASecretUnderLoad(t *testing.T) {
	const first, second, third = "hunter2 first+/", "hunter2-second", "hunter2-third"
	planted := []string{"hunter2", url.QueryEscape(first)}
	for _, word := range []string{first, second, third} {
		planted = append(planted, base64.StdEncoding.EncodeToString([]byte("me:"+word)))
	}
	hub := upstreamtest.New(t)
	hub.RequireToken("me", first)
	image := hub.AddImage("app", "1", noise(1, 50_000))
	hubURL := hub.Start(t)
	talker := httptest.NewServer(http.HandlerFunc(gossip))
	t.Cleanup(talker.Close)

	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "login.json"), []byte(fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`,
		talker.URL[len("http://"):], planted[len(planted)-1])), 0o600))
	keys := fmt.Sprintf(`log: {format: json, level: debug}
upstreams:
  hub: {url: %q, username: me, password: %q}
  talker: {url: %q, credentials: [{username: me, password: %q}, {docker_config: login.json}], negative_validity: 0s}
registries: {default: {upstreams: [hub]}, talker: {upstreams: [talker]}}
`, hubURL, first, talker.URL, second)
	p := start(t, folder, keys)
	told := &told{}
	// What stops everything for a while comes last.
	for name := range strings.FieldsSeq("app none talker/basic401 talker/basic403 talker/basic200 talker/t401 talker/t403 talker/t404 talker/t200 talker/t307 talker/t500 talker/basic429") {
		var clients sync.WaitGroup
		for range 10 {
			clients.Go(func() {
				for _, what := range []string{"/manifests/1", "/manifests/" + image.Digest.String(), "/blobs/" + image.Layers[0].String(), "/tags/list?n=1", "/referrers/" + image.Digest.String() + "?artifactType=a/b"} {
					told.ask(t, p, http.MethodGet, "/v2/"+name+what)
					told.ask(t, p, http.MethodHead, "/v2/"+name+what)
				}
			})
		}
		clients.Wait()
	}
	configure(t, folder, keys+"password: "+third+"\n") // which is refused
	p.reload(t, "refused")
	for _, page := range []string{"/metrics", "/readyz"} {
		_, body, err := p.get(p.ops + page)
		must(t, err)
		told.add(string(body))
	}
	configure(t, folder, keys)
	checked := runs(t, "check", "--config", filepath.Join(folder, "berth.yaml"))
	told.add(checked.Out + checked.Errors)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
	told.add(p.log() + p.errors.String())
	must(t, filepath.WalkDir(filepath.Join(folder, "data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		told.add(path + string(data))
		return err
	}))
	for _, secret := range planted {
		if i := strings.Index(told.all.String(), secret); i >= 0 {
			t.Errorf("%q is told: …%q…", secret, told.all.String()[max(0, i-200):min(told.all.Len(), i+60)])
		}
	}
	t.Logf("%d answers, %d bytes looked at", told.answers, told.all.Len())
	if told.answers < 1000 || !strings.Contains(told.all.String(), "upstream refuses the configured credential") {
		t.Error("too little was asked to tell anything")
	}
}

// told is all that came out.
type told struct {
	mu      sync.Mutex // guards both
	all     bytes.Buffer
	answers int
}

func (o *told) add(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all.WriteString(text)
}

func (o *told) ask(t *testing.T, p *process, method, path string) {
	q, err := http.NewRequestWithContext(t.Context(), method, p.url+path, http.NoBody)
	if err != nil {
		t.Error(err)
		return
	}
	response, err := p.client.Do(q)
	if err != nil {
		t.Error(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers++
	fmt.Fprintf(&o.all, "%s %s %v %s\n", path, response.Status, response.Header, body)
}

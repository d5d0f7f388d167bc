package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestRenewedPassword: no restart, no lost request, and nothing is fetched twice. The
// passwords are nowhere in the log or the metrics.
func TestRenewedPassword(t *testing.T) {
	config := func(host, password string) string {
		auth := base64.StdEncoding.EncodeToString([]byte("me:" + password))
		return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, auth)
	}
	for _, test := range []struct {
		keys string
		file func(host, password string) string
	}{
		{", username: me, password_file: login", func(_, password string) string { return password + "\n" }},
		{", docker_config: login", config},
	} {
		t.Run(test.keys[2:], func(t *testing.T) {
			const first, second = "hunter2-first", "hunter2-second"
			hub := upstreamtest.New(t)
			url := hub.Start(t)
			hub.RequireToken("me", first)
			held, other := hub.AddImage("held", "1", noise(1, 100_000)), hub.AddImage("other", "1")
			folder := t.TempDir()
			login := func(password string) {
				next := filepath.Join(folder, "next")
				must(t, os.WriteFile(next, []byte(test.file(url[len("http://"):], password)), 0o600))
				must(t, os.Rename(next, filepath.Join(folder, "login")))
			}
			login(first)
			p := start(t, folder, "log: {format: json, level: debug}\n"+upstreamOf(url, ", validity: forever"+test.keys))
			p.want(t, p.url+"/v2/held/manifests/1", 200, held.Manifest)
			p.want(t, blobURL(p, "held", held.Layers[0]), 200, noise(1, 100_000))
			l := p.load(t, p.url+"/v2/held/manifests/1", held.Manifest)

			hub.RequireToken("me", second)
			hub.ExpireTokens()
			p.want(t, p.url+"/v2/other/manifests/1", 502, nil)
			p.want(t, p.url+"/v2/other/manifests/1", 502, nil) // asked again each time
			login(second)
			p.wantMetric(t, `berth_config_reloads_total{result="applied"} 1`)
			p.want(t, p.url+"/v2/other/manifests/1", 200, other.Manifest)
			p.want(t, blobURL(p, "held", held.Layers[0]), 200, noise(1, 100_000))
			l.stop(t)
			for request, want := range map[string]int{"GET manifest held": 2, "GET blob held": 1} { // the first without a login
				if n := hub.Count(request); n != want {
					t.Errorf("%s: %d times, want %d: %q", request, n, want, hub.Requests())
				}
			}
			p.tellsNothing(t, "hunter2", base64.StdEncoding.EncodeToString([]byte("me:"+first)), base64.StdEncoding.EncodeToString([]byte("me:"+second)), "token-")
		})
	}
}

// tellsNothing looks for secrets in all that the program tells.
func (p *process) tellsNothing(t *testing.T, secrets ...string) {
	t.Helper()
	told := p.log()
	for _, page := range []string{"/metrics", "/readyz"} {
		_, body, err := p.get(p.ops + page)
		must(t, err)
		told += string(body)
	}
	for _, s := range secrets {
		if i := strings.Index(told, s); i >= 0 {
			t.Errorf("%q is told: …%s…", s, told[max(0, i-100):min(len(told), i+50)])
		}
	}
}

// TestBetterCredential: what an account was refused is not remembered of the one that takes
// its place, though it has its name.
func TestBetterCredential(t *testing.T) {
	const index = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, password, _ := q.BasicAuth()
		name := strings.Split(q.URL.Path+"//", "/")[2]
		switch token := strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer "); {
		case q.URL.Path == "/token":
			fmt.Fprintf(w, `{"token": %q}`, password)
		case token == "":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, q.Host))
			w.WriteHeader(http.StatusUnauthorized)
		case token == "poor" && name == "private":
			w.WriteHeader(http.StatusForbidden)
		case token == "poor" && name == "limited":
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, "You have reached your pull rate limit.")
		default:
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			fmt.Fprint(w, index)
		}
	}))
	t.Cleanup(hub.Close)
	for name, better := range map[string]string{
		"renewed":       ", username: me, password: rich",
		"one more":      ", username: me, password: poor, credentials: [{username: other, password: rich}]",
		"one before it": ", credentials: [{username: other, password: rich}, {username: me, password: poor}]",
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			p := start(t, folder, upstreamOf(hub.URL, ", negative_validity: 1h, username: me, password: poor"))
			for range 2 {
				p.want(t, p.url+"/v2/private/manifests/1", 403, nil)
				p.want(t, p.url+"/v2/limited/manifests/1", 429, nil)
			}
			configure(t, folder, upstreamOf(hub.URL, ", negative_validity: 1h"+better))
			p.reload(t, "applied")
			p.want(t, p.url+"/v2/limited/manifests/1", 200, []byte(index))
			if name != "one more" { // whose first account may not read it
				p.want(t, p.url+"/v2/private/manifests/1", 200, []byte(index))
			}
		})
	}
}

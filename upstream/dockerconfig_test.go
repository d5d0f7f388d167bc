package upstream_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// withDockerConfig makes a Client log in with what the file holds.
func withDockerConfig(data string) func(*upstream.Config) {
	return func(cfg *upstream.Config) {
		cfg.Credentials = []upstream.Credential{upstream.DockerConfig("/etc/config.json", data)}
	}
}

// auths is a config.json with one entry.
func auths(key, entry string) string { return fmt.Sprintf(`{"auths": {%q: %s}}`, key, entry) }

// entry is one as docker login writes it.
func entry(user, password string) string {
	return fmt.Sprintf(`{"auth": %q}`, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// helper puts a credential helper, a shell script, into the PATH.
func helper(t *testing.T, name, script string) {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
}

// gives is the script of a helper that has the login of user for host alone.
func gives(host, user, password string) string {
	return fmt.Sprintf(`read key
if [ "$1 $key" = "get %s" ]; then printf '{"Username": "%s", "Secret": "%s"}'
else echo "credentials not found in native keychain"; exit 1; fi
`, host, user, password)
}

func TestDockerConfig(t *testing.T) {
	helper(t, "right", gives("r.example.com", user, password))
	helper(t, "hub", gives("https://index.docker.io/v1/", user, password))
	right := entry(user, password)
	const hub = "registry-1.docker.io"
	cases := []struct{ name, host, data string }{
		{"auth", "r.example.com", auths("r.example.com", right)},
		{"user name and password", "r.example.com", auths("r.example.com", fmt.Sprintf(`{"username": %q, "password": %q}`, user, password))},
		{"a URL as the key", "r.example.com", auths("https://r.example.com/v1/", right)},
		{"a port", "r.example.com:8443", auths("r.example.com:8443", right)},
		{"Docker Hub", hub, auths("https://index.docker.io/v1/", right)},
		{"Docker Hub, as podman writes it", hub, auths("docker.io", right)},
		{"helper for the host", "r.example.com", `{"credHelpers": {"r.example.com": "right"}, "credsStore": "none"}`},
		{"helper for all", "r.example.com", `{"credsStore": "right", "auths": {"r.example.com": {}}}`},
		{"helper for Docker Hub", hub, `{"credsStore": "hub"}`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddImage("a", "1")
			reg.RequireToken(user, password)
			n := upstreamtest.NewNetwork(t)
			c := newClient(t, n.Serve("https://"+tc.host, reg), on(n), withDockerConfig(tc.data))
			fetch(t, c, manifest("a", "1"))
		})
	}
}

// A login is for exactly the host that it is filed under (CVE-2021-41092).
func TestDockerConfigWithoutALogin(t *testing.T) {
	const none = "bad upstream hub: docker_config /etc/config.json: "
	cases := []struct{ name, data, want string }{
		{"nothing", "{}", none + "has no login for r.example.com; run docker login r.example.com"},
		{"Docker Hub's", auths("https://index.docker.io/v1/", entry(user, password)), none + "has no login for r.example.com; run docker login r.example.com"},
		{"another port's", auths("r.example.com:8443", entry(user, password)), none + "has no login for r.example.com; run docker login r.example.com"},
		{"a parent's", auths("example.com", entry(user, password)), none + "has no login for r.example.com; run docker login r.example.com"},
		{"no JSON", password, none + "is not what Docker writes as config.json; run docker login, or mend it"},
		{"no base64", auths("x", `{"auth": "`+password+`"}`), none + "is not what Docker writes as config.json; run docker login, or mend it"},
		{"a registry token", auths("r.example.com", `{"registrytoken": "`+password+`"}`), none + "has a registrytoken for r.example.com, which nobody could renew; run docker login"},
		{"a path for a helper", `{"credsStore": "../../bin/sh"}`, none + "names a credential helper that is no name of a program"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			n := upstreamtest.NewNetwork(t)
			base := n.Serve("https://r.example.com", http.NotFoundHandler())
			if err := tryClient(t, base, withDockerConfig(tc.data)); err == nil || err.Error() != tc.want {
				t.Errorf("%v", err)
			}
		})
	}
}

// What a helper says beside a login may hold one.
func TestHelperThatHasNone(t *testing.T) {
	const ask = "r.example.com: no login from docker_config: "
	cases := []struct{ name, script, want string }{
		{"none", gives("other.example.com", user, password), ask + "docker-credential-odd has no login for r.example.com"},
		{"no such program", "", ask + "there is no program docker-credential-odd in the PATH of berth"},
		{"failed", `echo ` + password + `; echo ` + password + ` >&2; exit 1`, ask + "docker-credential-odd gave none; run echo r.example.com | docker-credential-odd get to see why"},
		{"no JSON", `echo ` + password, ask + "docker-credential-odd gave none; run echo r.example.com | docker-credential-odd get to see why"},
		{"empty", `echo {}`, ask + "has no login"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.script != "" {
				helper(t, "odd", tc.script)
			}
			reg := upstreamtest.New(t)
			reg.RequireToken(user, password)
			n := upstreamtest.NewNetwork(t)
			c := newClient(t, n.Serve("https://r.example.com", reg), on(n), withDockerConfig(`{"credsStore": "odd"}`))
			if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Unavailable || e.Message != tc.want {
				t.Errorf("%v: %s", e.Class, e.Message)
			}
		})
	}
}

// TestHelperEndsWithItsClient: one that hangs does not hold up a stop.
func TestHelperEndsWithItsClient(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	mkfifo(t, started)
	helper(t, "slow", "echo $$ > "+started+"; exec sleep 1000")
	reg := upstreamtest.New(t)
	reg.RequireToken(user, password)
	c := newClient(t, reg.Start(t), func(cfg *upstream.Config) {
		cfg.Credentials = []upstream.Credential{upstream.DockerConfig("c", `{"credsStore": "slow"}`)}
	})
	asked := make(chan *upstream.Error)
	go func() { asked <- refused(t, c, manifest("a", "1")) }()
	if _, err := os.ReadFile(started); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if e := <-asked; e.Class != upstream.Unavailable {
		t.Error(e)
	}
}

// An identity token goes to the token service in the form that OAuth 2.0 has, and nowhere
// else.
func TestIdentityToken(t *testing.T) {
	const secret = "identity/+ token"
	helper(t, "token", `printf '{"Username": "<token>", "Secret": "`+secret+`"}'`)
	for name, data := range map[string]string{
		"in the file":     auths("r.example.com", `{"auth": "`+base64.StdEncoding.EncodeToString([]byte("00000000-0000-0000-0000-000000000000:"))+`", "identitytoken": "`+secret+`"}`),
		"out of a helper": `{"credsStore": "token"}`,
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			n := upstreamtest.NewNetwork(t)
			h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if err := q.ParseForm(); err != nil {
					t.Error(err)
				}
				form, err := json.Marshal(q.PostForm)
				if err != nil {
					t.Error(err)
				}
				asked = append(asked, strings.Join([]string{q.Method, q.URL.String(), q.Header.Get("Authorization"), string(form)}, " "))
				switch {
				case q.URL.Path == "/oauth2/token":
					fmt.Fprint(w, `{"access_token": "access"}`)
				case q.Header.Get("Authorization") == "":
					w.Header().Set("WWW-Authenticate", `Bearer realm="https://r.example.com/oauth2/token",service="r.example.com"`)
					w.WriteHeader(http.StatusUnauthorized)
				default:
					fmt.Fprint(w, "manifest")
				}
			})
			c := newClient(t, n.Serve("https://r.example.com", h), on(n), withDockerConfig(data))
			fetch(t, c, manifest("a", "1"))
			want := []string{
				"GET /v2/a/manifests/1  {}",
				`POST /oauth2/token  {"client_id":["berth"],"grant_type":["refresh_token"],"refresh_token":["` + secret + `"],"scope":["repository:a:pull"],"service":["r.example.com"]}`,
				"GET /v2/a/manifests/1 Bearer access {}",
			}
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The form stays with the host that it was meant for.
func TestIdentityTokenIsNotRedirected(t *testing.T) {
	n := upstreamtest.NewNetwork(t)
	n.Serve("https://auth.example.com", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/token" {
			http.Redirect(w, q, "https://auth.example.com/token", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://r.example.com/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	c := newClient(t, n.Serve("https://r.example.com", h), on(n), withDockerConfig(auths("r.example.com", `{"identitytoken": "opaque"}`)))
	if e := refused(t, c, manifest("a", "1")); !strings.Contains(e.Message, "it redirects the login to auth.example.com") {
		t.Error(e.Message)
	}
}

// What is held belongs to the user name, wherever it is written.
func TestFingerprintOfADockerConfig(t *testing.T) {
	of := func(c upstream.Credential) string {
		return newClient(t, "http://127.0.0.1:1", func(cfg *upstream.Config) { cfg.Credentials = []upstream.Credential{c} }).Fingerprint()
	}
	plain := of(upstream.Password(user, password))
	if got := of(upstream.DockerConfig("a", auths("127.0.0.1:1", entry(user, "other")))); got != plain {
		t.Error("the same user in a file has another fingerprint")
	}
	if token := of(upstream.DockerConfig("a", auths("127.0.0.1:1", `{"identitytoken": "t"}`))); token == plain || token == of(upstream.Credential{}) {
		t.Error("a token has the fingerprint of somebody else")
	}
	helped := of(upstream.DockerConfig("a", `{"credsStore": "x"}`))
	if other := of(upstream.DockerConfig("a", `{"credsStore": "y"}`)); helped == plain || helped == of(upstream.Credential{}) || helped == other {
		t.Error("fingerprints do not differ")
	}
}

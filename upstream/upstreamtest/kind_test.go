package upstreamtest_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// kindClient asks a registry of a kind in a network in memory.
type kindClient struct {
	*testing.T
	reg    *upstreamtest.Registry
	base   string
	client *http.Client
	img    upstreamtest.Image
}

func newKindClient(t *testing.T, k upstreamtest.Kind) *kindClient {
	t.Helper()
	n, reg := upstreamtest.NewNetwork(t), upstreamtest.New(t)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.Roots()}, DialContext: n.DialContext}
	c := &kindClient{T: t, reg: reg, base: n.ServeKind(k, reg)}
	t.Cleanup(func() { // before the servers close: over a pipe, ends that close at once wait for each other
		synctest.Wait()
		tr.CloseIdleConnections()
		synctest.Wait()
	})
	c.client = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.img = reg.AddImage("app", "1", []byte("layer"))
	return c
}

// status asks for a path of the registry, or a whole URL, with a login if one is given.
func (c *kindClient) status(line, login string) (string, http.Header) {
	c.Helper()
	method, path, _ := strings.Cut(line, " ")
	if !strings.HasPrefix(path, "https://") {
		path = c.base + path
	}
	got, h := ask(c.T, c.client, method+" "+path, "Authorization", login)
	return got[:3], h
}

// token is one for repo from the service that the challenge names, or the status.
func (c *kindClient) token(repo, login string) string {
	c.Helper()
	_, h := c.status("GET /v2/"+repo+"/manifests/1", "")
	realm := between(h.Get("Www-Authenticate"), `realm="`, `"`)
	got, _ := ask(c.T, c.client, "GET "+realm+"?scope="+url.QueryEscape("repository:"+repo+":pull"), "Authorization", login)
	if value := between(got, `"token":"`, `"`); value != "" {
		return "Bearer " + value
	}
	return got[:3]
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

const aLogin = "Basic bWU6c2VjcmV0" // me:secret

// How each kind hides what does not exist, from a stranger and from who is logged in.
func TestWhatKindsHide(t *testing.T) {
	type answers struct{ stranger, member string } // the last status, of token service or registry
	want := map[upstreamtest.Kind]answers{
		upstreamtest.DockerHub: {"401", "401"}, upstreamtest.DHI: {"token 401", "404"}, upstreamtest.MCR: {"404", "404"},
		upstreamtest.Quay: {"401", "404"}, upstreamtest.GHCR: {"token 403", "token 403"}, upstreamtest.ECR: {"401", "404"},
		upstreamtest.ECRPublic: {"404", "404"}, upstreamtest.GAR: {"403", "403"}, upstreamtest.Kubernetes: {"307", "307"},
		upstreamtest.ACR: {"404", "404"}, upstreamtest.GitLab: {"token 403", "401"},
	}
	for _, k := range upstreamtest.Kinds() {
		t.Run(string(k), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newKindClient(t, k)
				stranger := c.missing("")
				time.Sleep(time.Second) // which one kind wants between two pulls
				c.reg.Login("me", "secret")
				if diff := cmp.Diff(want[k], answers{stranger, c.missing(aLogin)}, cmp.AllowUnexported(answers{})); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// missing asks for what does not exist, with a token if one is given.
func (c *kindClient) missing(login string) string {
	c.Helper()
	const path = "GET /v2/gone/manifests/1"
	got, h := c.status(path, login)
	if !strings.HasPrefix(h.Get("Www-Authenticate"), "Bearer ") {
		return got
	}
	token := c.token("gone", login)
	if !strings.HasPrefix(token, "Bearer ") {
		return "token " + token
	}
	got, _ = c.status(path, token)
	return got
}

// The peculiarities of one kind each.
func TestQuirks(t *testing.T) {
	at := func(k upstreamtest.Kind, name string, f func(t *testing.T, c *kindClient)) {
		t.Run(string(k)+" "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newKindClient(t, k)) })
		})
	}
	is := func(t *testing.T, c *kindClient, line, login, want string) http.Header {
		t.Helper()
		got, h := c.status(line, login)
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
		return h
	}
	const manifest = "GET /v2/app/manifests/1"
	at(upstreamtest.DHI, "one level", func(t *testing.T, c *kindClient) {
		c.reg.AddImage("a/b", "1")
		c.reg.Login("me", "secret")
		is(t, c, "GET /v2/a/b/manifests/1", c.token("a/b", aLogin), "404")
	})
	at(upstreamtest.Quay, "no ETag, no token without a scope", func(t *testing.T, c *kindClient) {
		if h := is(t, c, manifest, c.token("app", ""), "200"); h.Get("Etag") != "" || h.Get("Docker-Content-Digest") == "" {
			t.Error(h)
		}
		is(t, c, "GET https://quay.io/v2/auth", "", "401")
	})
	at(upstreamtest.GHCR, "placeholder and storage", func(t *testing.T, c *kindClient) {
		h := is(t, c, "GET /v2/", "", "401")
		if got := between(h.Get("Www-Authenticate"), `scope="`, `"`); got != "repository:user/image:pull" {
			t.Errorf("scope %q", got)
		}
		h = is(t, c, "GET /v2/app/blobs/"+c.img.Layers[0].String(), c.token("app", ""), "307")
		is(t, c, "HEAD "+h.Get("Location"), "", "403")
		is(t, c, "GET "+h.Get("Location"), "", "200")
	})
	at(upstreamtest.ECR, "twelve hours, one login", func(t *testing.T, c *kindClient) {
		c.reg.Login("me", "secret")
		h := is(t, c, "GET /v2/app/blobs/"+c.img.Layers[0].String(), aLogin, "307")
		is(t, c, "GET "+h.Get("Location"), aLogin, "400")
		is(t, c, "GET "+h.Get("Location"), "", "200")
		time.Sleep(12*time.Hour - 1)
		is(t, c, manifest, aLogin, "200")
		time.Sleep(time.Nanosecond)
		is(t, c, manifest, aLogin, "403")
		c.reg.Login("me", "secret") // another of the same
		is(t, c, manifest, aLogin, "200")
	})
	at(upstreamtest.ECRPublic, "pace, old tokens, HEAD", func(t *testing.T, c *kindClient) {
		token := c.token("app", "")
		is(t, c, manifest, token, "200")
		is(t, c, manifest, token, "429")
		is(t, c, "HEAD /v2/app/manifests/1", token, "200")
		is(t, c, "HEAD /v2/app/blobs/"+c.img.Layers[0].String(), token, "401")
		time.Sleep(time.Second)
		is(t, c, manifest, token, "200")
		time.Sleep(time.Minute)
		is(t, c, manifest, token, "400")
	})
	at(upstreamtest.GAR, "tokens by GET", func(t *testing.T, c *kindClient) {
		is(t, c, "POST https://europe-docker.pkg.dev/v2/token?scope=repository:app:pull", "", "404")
		is(t, c, "GET https://europe-docker.pkg.dev/v2/token", "", "400")
	})
	at(upstreamtest.Kubernetes, "region", func(t *testing.T, c *kindClient) {
		is(t, c, "GET /v2/", "", "200")
		h := is(t, c, "GET /v2/app/tags/list?n=1", "", "307")
		if got, want := h.Get("Location"), "https://europe-west1-docker.pkg.dev/v2/k8s-artifacts-prod/images/app/tags/list"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		is(t, c, "GET "+h.Get("Location"), "", "200")
	})
	at(upstreamtest.ACR, "countdown", func(t *testing.T, c *kindClient) {
		token := c.token("app", "")
		c.reg.Limit(upstreamtest.PlainLimit, 30*time.Second)
		time.Sleep(10*time.Second + 1)
		if h := is(t, c, "HEAD /v2/app/manifests/1", token, "429"); h.Get("Retry-After") != "20" {
			t.Error(h)
		}
		is(t, c, "POST https://berth.azurecr.io/oauth2/token", "", "400")
	})
}

// What Docker Hub tells of its limits, and how it says no.
func TestPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newKindClient(t, upstreamtest.DockerHub)
		token := c.token("app", "")
		var got []string
		ask := func(method string) {
			status, h := c.status(method+" /v2/app/manifests/1", token)
			got = append(got, method+" "+status+" "+h.Get("Ratelimit-Remaining"))
		}
		ask("GET")
		c.reg.Pulls(2)
		for _, method := range []string{"HEAD", "GET", "GET", "GET", "HEAD"} {
			ask(method)
		}
		time.Sleep(6 * time.Hour)
		token = c.token("app", "")
		ask("GET")
		c.reg.Limit(upstreamtest.AbuseLimit, time.Second)
		ask("HEAD")
		c.reg.Pulls(0)
		ask("HEAD")
		want := []string{
			"GET 200 ", "HEAD 200 2;w=21600", "GET 200 1;w=21600", "GET 200 0;w=21600", "GET 429 0;w=21600", "HEAD 200 0;w=21600",
			"GET 200 1;w=21600", "HEAD 429 1;w=21600", "HEAD 429 ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

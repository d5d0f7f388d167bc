package upstreamtest_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask sends a request and returns "status body"; of a connection that broke, "broken".
func ask(t *testing.T, client *http.Client, line string, header ...string) (string, http.Header) {
	t.Helper()
	method, url, _ := strings.Cut(line, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return "broken", nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.Status[:3] + " " + string(body) + " broken", resp.Header
	}
	return strings.TrimSpace(resp.Status[:3] + " " + string(body)), resp.Header
}

func newHTTP(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

func TestRecord(t *testing.T) {
	reg := upstreamtest.New(t)
	img := reg.AddImage("lib/a", "1", []byte("layer"))
	base, client := reg.Start(t), newHTTP(t)
	layer := string(img.Layers[0])
	for _, line := range []string{
		"HEAD /v2/lib/a/manifests/1", "GET /v2/lib/a/manifests/" + string(img.Digest),
		"GET /v2/lib/a/blobs/" + layer, "GET /v2/lib/a/tags/list?n=1", "GET /v2/lib/a/tags/list",
		"GET /v2/lib/a/referrers/" + string(img.Digest) + "?artifactType=x",
		"GET /token?scope=repository:lib/a:pull&service=x", "GET /token", "GET /v2/", "GET /x", "GET /storage/" + layer + "?s=1",
	} {
		ask(t, client, strings.Replace(line, " ", " "+base, 1), "Range", "")
	}
	ask(t, client, "GET "+base+"/v2/lib/a/blobs/"+layer, "Range", "bytes=2-")
	m, l := upstreamtest.Short(img.Digest), upstreamtest.Short(img.Layers[0])
	want := []string{
		"HEAD manifest lib/a:1", "GET manifest lib/a@" + m, "GET blob lib/a@" + l,
		"GET tags lib/a?n=1", "GET tags lib/a", "GET referrers lib/a@" + m + "?artifactType=x",
		"GET token repository:lib/a:pull", "GET token -", "GET other /v2/", "GET other /x", "GET storage " + l,
		"GET blob lib/a@" + l + " bytes=2-",
	}
	if diff := cmp.Diff(want, reg.Requests()); diff != "" {
		t.Error(diff)
	}
	if got := reg.Count("GET blob"); got != 2 {
		t.Errorf("%d blobs", got)
	}
	reg.Reset()
	if diff := cmp.Diff([]string{}, reg.Requests()); diff != "" {
		t.Error(diff)
	}
}

func TestContent(t *testing.T) {
	reg := upstreamtest.New(t)
	img := reg.AddImage("a", "1", []byte("layer"))
	idx := reg.AddIndex("a", "all", img, reg.AddImage("a", "", []byte("other")))
	reg.Tag("a", "dangling", "sha256:"+"00")
	reg.Tag("a", "gone", img.Digest)
	reg.RemoveTag("a", "gone")
	reg.AddBlob("b", []byte("x"))
	reg.RemoveRepository("b")
	lost := reg.AddBlob("a", []byte("lost"))
	reg.RemoveContent("a", lost)
	base, client := reg.Start(t), newHTTP(t)
	cases := []struct{ line, want string }{
		{"GET /v2/", "200 {}"},
		{"GET /v2/a/manifests/1", "200 " + string(img.Manifest)},
		{"GET /v2/a/manifests/all", "200 " + string(idx.Manifest)},
		{"HEAD /v2/a/manifests/" + string(img.Digest), "200"},
		{"GET /v2/a/blobs/" + string(img.Layers[0]), "200 layer"},
		{"GET /v2/a/manifests/dangling", `404 {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`},
		{"GET /v2/a/manifests/gone", `404 {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`},
		{"GET /v2/b/manifests/1", `404 {"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}`},
		{"GET /v2/a/blobs/" + string(lost), `404 {"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}`},
		{"GET /v2/a/tags/list", `200 {"name":"a","tags":["1","all","dangling"]}`},
		{"GET /v2/a/tags/list?n=1&last=1", `200 {"name":"a","tags":["all"]}`},
		{"GET /v2/a/tags/list?n=0", `200 {"name":"a","tags":[]}`},
		{"GET /v2/a/tags/list?n=-1", `400 {"errors":[{"code":"PAGINATION_NUMBER_INVALID","message":"invalid number of results requested"}]}`},
		{"GET /v2/a/referrers/x", `400 {"errors":[{"code":"DIGEST_INVALID","message":"provided digest is not valid"}]}`},
		{"PUT /v2/a/manifests/1", `405 {"errors":[{"code":"UNSUPPORTED","message":"method not allowed"}]}`},
	}
	for _, tc := range cases {
		t.Run(tc.line, func(t *testing.T) {
			got, _ := ask(t, client, strings.Replace(tc.line, " ", " "+base, 1))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSwitches(t *testing.T) {
	reg := upstreamtest.New(t)
	img := reg.AddImage("a", "1", []byte("layer"))
	base, client := reg.Start(t), newHTTP(t)
	blob := "GET " + base + "/v2/a/blobs/" + string(img.Layers[0])

	expect := func(want, line string, header ...string) {
		t.Helper()
		if got, _ := ask(t, client, line, header...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	reg.RefuseHead(true)
	expect("405", "HEAD "+base+"/v2/a/manifests/1")
	expect("206 yer", blob, "Range", "bytes=2-")
	reg.IgnoreRanges(true)
	expect("200 layer", blob, "Range", "bytes=2-")
	reg.Referrers(false)
	expect("404", "GET "+base+"/v2/a/referrers/"+string(img.Digest))
	reg.MissingAs401(true)
	expect("401", "GET "+base+"/v2/b/manifests/1")
	expect("200", "GET "+base+"/v2/a/manifests/1")
	storage := reg.StartStorage(t)
	expect("307", blob)
	expect("200 layer", "GET "+storage+"/storage/"+string(img.Layers[0]))
	expect("400", "GET "+storage+"/storage/"+string(img.Layers[0]), "Authorization", "Bearer x")
	reg.StopTokens()
	expect("broken", "GET "+base+"/token")
	expect("200", "GET "+base+"/v2/")
	reg.Stop()
	expect("broken", "GET "+base+"/v2/")
	reg.Resume()
	reg.ResumeTokens()
	expect("200", "GET "+base+"/token")
	expect("200", "GET "+base+"/v2/")
}

func TestLogins(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.AddImage("a", "1")
	base, client := reg.Start(t), newHTTP(t)
	manifest := "GET " + base + "/v2/a/manifests/1"
	token := "GET " + base + "/token?scope=repository:a:pull"
	const good, bad = "Basic dTpw", "Basic dTp4" // u:p, u:x

	expect := func(want, line, authorization string) {
		t.Helper()
		if got, _ := ask(t, client, line, "Authorization", authorization); !strings.HasPrefix(got, want) {
			t.Errorf("%s with %q: %s, want %s", line, authorization, got, want)
		}
	}
	reg.RequireBasic("u", "p")
	expect("401", manifest, "")
	expect("401", manifest, bad)
	expect("200", manifest, good)
	reg.RequireToken("u", "p")
	_, h := ask(t, client, manifest)
	if got, want := h.Get("WWW-Authenticate"), `Bearer realm="`+base+`/token",service="registry.test",scope="repository:a:pull"`; got != want {
		t.Errorf("challenge %s", got)
	}
	expect("401", token, "")
	expect("401", token, bad)
	expect(`200 {"token":"token-1"}`, token, good)
	expect("200", manifest, "Bearer token-1")
	expect("401", strings.Replace(manifest, "/a/", "/b/", 1), "Bearer token-1")
	reg.ExpireTokens()
	expect("401", manifest, "Bearer token-1")
	reg.RequireToken("", "")
	reg.TokenLifetime(300e9)
	expect(`200 {"expires_in":300,"token":"token-2"}`, token, "")
	expect("401", token, bad)
	reg.RefuseMissing(403)
	expect("403", strings.Replace(token, ":a:", ":b:", 1), "")
	expect("200", base0(token), "")
}

// base0 is the token request without its scope.
func base0(line string) string { return line[:strings.Index(line, "?")] }

func TestTLS(t *testing.T) {
	reg := upstreamtest.New(t)
	base, pool := reg.StartTLS(t)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	ask(t, &http.Client{Transport: tr}, "GET "+base+"/v2/")
	if rec := reg.Records(); len(rec) != 1 || rec[0].Proto != "HTTP/2.0" {
		t.Errorf("records %+v", rec)
	}
}

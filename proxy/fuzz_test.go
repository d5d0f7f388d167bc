package proxy

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// The grammar of the distribution and image specifications, as they write it.
var (
	specName   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	specTag    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	specDigest = regexp.MustCompile(`^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
)

func matchesName(s string) bool { return len(s) <= 255 && specName.MatchString(s) }

// The validators are written by hand for speed; they must say what the grammar says.
func TestValidatorsFollowTheGrammar(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, s := range []string{
		"", "a", "0", "A", "é", "a\n", "\na", "a\x00", "\x80", " ", "a b",
		"a.b", "a..b", "a_b", "a__b", "a___b", "a-b", "a--b", "a-----b", "a.-b", "a-.b", "a_-b", "a-_b", "a._b", "a_.b", "a.__b", "a__.b",
		".", "..", "_", "__", "-", "--", ".a", "_a", "__a", "-a", "a.", "a_", "a__", "a-", "a/", "/a", "/", "//", "a//b", "a/.b", "a/b.", "a/../b", "a/_b", "a/-b",
		"a/b/c/d/e/f", "a.b/c_d/e__f/g-h/0--1", "library/alpine", "quay.io/prometheus/node-exporter", "localhost:5000/a",
		a(127), a(128), a(129), a(254), a(255), a(256), a(127) + "/" + a(127), a(127) + "/" + a(128), "_" + a(127), "_" + a(128), "." + a(10), "A.B-C_d", "1.2.3-rc.1_x", "v1+2", "v1:2",
		"latest", "LATEST", "sha256-" + hex64 + ".sig", sha256,
	} {
		if got := validName(s); got != matchesName(s) {
			t.Errorf("validName(%q) = %t", s, got)
		}
		if got := validTag(s); got != specTag.MatchString(s) {
			t.Errorf("validTag(%q) = %t", s, got)
		}
	}
}

func FuzzValidators(f *testing.F) {
	for _, s := range []string{"library/alpine", "a..b", "a___b", "a--b/c", "-a", "a/../b", "A", "a\n", strings.Repeat("a/", 127) + "a", strings.Repeat("a", 256), sha256, sha512, sha256[:70], "sha512:" + hex64, strings.ToUpper(sha256), "sha384:" + hex64} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := validName(s); got != matchesName(s) {
			t.Errorf("validName(%q) = %t", s, got)
		}
		if got := validTag(s); got != specTag.MatchString(s) {
			t.Errorf("validTag(%q) = %t", s, got)
		}
		known := strings.HasPrefix(s, "sha256:") || strings.HasPrefix(s, "sha512:")
		if got := validDigest(s); got != (known && digest.Digest(s).Validate() == nil) {
			t.Errorf("validDigest(%q) = %t", s, got)
		}
	})
}

// FuzzParse reads any request that the server would hand on. What parses is valid by the
// grammar, and what is refused is refused in words that fit an answer.
func FuzzParse(f *testing.F) {
	for _, target := range []string{
		"/v2/", "/v2", "/team/v2/", "//v2/", "/v2//", "*", "/", "http://h/v2/a/manifests/1", "/v2/_catalog?n=1",
		"/v2/library/alpine/manifests/3.20?ns=docker.io", "/team/v2/a/b/blobs/" + sha256, "/v2/a/referrers/" + sha512 + "?a=1&ns=x&%6es=x",
		"/v2/a/tags/list?n=5&last=x", "/v2/a/tags/list?n=99999999999999999999", "/v2/a/manifests/sha256%3A" + hex64, "/v2/a%2f..%2fb/manifests/1",
		"/v2/a/../b/manifests/1", "/v2/../../etc/passwd", "/v2/a//b/tags/list", "/v2/tags/list/tags/list", "/v2/v2/v2/manifests/v2", "/v2/a/blobs/uploads/",
		"/v2/a/manifests/..", "/a/v2/../v2/b/manifests/1", "/v2/a/manifests/1?%", "/v2/a/manifests/1?a;b", "/v2/\x80/manifests/1", "/v2/a/manifests/%00",
	} {
		f.Add("GET", target)
	}
	f.Add("HEAD", "/v2/a/manifests/1")
	f.Add("POST", "/v2/a/blobs/uploads/")
	f.Fuzz(func(t *testing.T, method, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil {
			t.Skip("no request")
		}
		req, err := parse(r)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		checkRequest(t, req)
		again := *r
		again.URL = &url.URL{Path: req.path(), RawQuery: r.URL.RawQuery}
		if got, err := parse(&again); err != nil || got != req {
			t.Errorf("%s %q: %+v, but its own path %q: %+v, %v", method, target, req, req.path(), got, err)
		}
	})
}

// path is where the request would have been at its plainest.
func (q request) path() string {
	switch q.kind {
	case kindPing:
		return strings.TrimSuffix("/"+q.name, "/") + "/v2/"
	case kindTags:
		return "/v2/" + q.name + "/tags/list"
	default:
		return "/v2/" + q.name + "/" + strings.TrimSuffix(string(q.kind), "s") + "s/" + q.tag + string(q.digest)
	}
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		t.Fatalf("%v is no *apiError", err)
	}
	if e.status != 400 && e.status != 404 && e.status != 405 || e.code == "" || e.message == "" || e.outcome != "invalid" || len(e.message) > 512 {
		t.Errorf("refused with %+v", e)
	}
	if _, err := json.Marshal(e.message); err != nil {
		t.Errorf("message %q: %v", e.message, err)
	}
}

func checkRequest(t *testing.T, q request) {
	t.Helper()
	if strings.Contains(q.name, "..") || strings.Contains(q.name, "//") || strings.HasPrefix(q.name, "/") || strings.HasSuffix(q.name, "/") {
		t.Errorf("name %q", q.name)
	}
	if !matchesName(q.name) && (q.kind != kindPing || q.name != "") {
		t.Errorf("name %q of a %s", q.name, q.kind)
	}
	hasTag, hasDigest := specTag.MatchString(q.tag), specDigest.MatchString(string(q.digest))
	if q.tag != "" && !hasTag || q.digest != "" && !hasDigest {
		t.Errorf("tag %q, digest %q", q.tag, q.digest)
	}
	type reference struct{ tag, digest bool }
	valid := map[kind][]reference{
		kindPing: {{}}, kindTags: {{}}, kindBlob: {{digest: true}}, kindReferrers: {{digest: true}}, kindManifest: {{tag: true}, {digest: true}},
	}
	fits := false
	for _, v := range valid[q.kind] {
		fits = fits || v == reference{hasTag, hasDigest}
	}
	if !fits {
		t.Errorf("a %q with tag %q and digest %q", q.kind, q.tag, q.digest)
	}
	if q.n < -1 || q.n >= 0 && q.kind != kindTags || q.last != "" && (q.kind != kindTags || !specTag.MatchString(q.last)) {
		t.Errorf("n %d and last %q of a %s", q.n, q.last, q.kind)
	}
	if q.query != "" && q.kind != kindReferrers {
		t.Errorf("query %q of a %s", q.query, q.kind)
	}
	values, err := url.ParseQuery(q.query)
	if diff := cmp.Diff([]string(nil), values["ns"]); diff != "" || err != nil || len(q.query) > maxQuery {
		t.Errorf("query %q for the upstream: %v", q.query, err)
	}
}

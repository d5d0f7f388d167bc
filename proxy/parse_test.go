package proxy

import (
	"bufio"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

var (
	hex64  = strings.Repeat("0123456789abcdef", 4)
	hex128 = hex64 + hex64
	sha256 = "sha256:" + hex64
	sha512 = "sha512:" + hex128
)

// outcome is what parse made of a request: the request or the error.
type outcome struct {
	Request request
	Status  int
	Code    string
	Message string
}

// parseTarget parses a request with that target as the server would have read it.
func parseTarget(t *testing.T, method, target string) outcome {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: berth.test\r\n\r\n")))
	if err != nil {
		t.Fatalf("%s %s does not reach parse: %v", method, target, err)
	}
	req, err := parse(r)
	if err == nil {
		return outcome{Request: req}
	}
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		t.Fatalf("parse %s %s: %v is no *apiError", method, target, err)
	}
	return outcome{Status: e.status, Code: e.code, Message: e.message}
}

// parseCase is a GET and what it means.
type parseCase struct {
	name, target string
	want         outcome
}

func runParse(t *testing.T, cases []parseCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, parseTarget(t, http.MethodGet, c.target), cmp.AllowUnexported(request{})); diff != "" {
				t.Errorf("parse %.200s (-want +got):\n%s", c.target, diff)
			}
		})
	}
}

func ping(name string) outcome { return outcome{Request: request{kind: kindPing, name: name, n: -1}} }

func tagged(name, tag string) outcome {
	return outcome{Request: request{kind: kindManifest, name: name, tag: tag, n: -1}}
}

func byDigest(k kind, name, d string) outcome {
	return outcome{Request: request{kind: k, name: name, digest: digest.Digest(d), n: -1}}
}

func tagsOf(name string, n int, last string) outcome {
	return outcome{Request: request{kind: kindTags, name: name, n: n, last: last}}
}

// with is o in the namespace ns.
func (o outcome) with(ns string) outcome {
	o.Request.namespace = ns
	return o
}

// asking is o with a query for referrers.
func (o outcome) asking(query string) outcome {
	o.Request.query = query
	return o
}

func notAPI() outcome {
	return outcome{Status: 404, Code: "NAME_UNKNOWN", Message: "there is nothing at this path: the API is /v2/<name>/{manifests,blobs,referrers}/<reference> and /v2/<name>/tags/list"}
}

func badName(shown string) outcome {
	return outcome{Status: 400, Code: "NAME_INVALID", Message: `"` + shown + `" is not a repository name: use lower-case letters and digits, separated by one of . _ __ - and /, at most 255 characters`}
}

func badTag(shown string) outcome {
	return outcome{Status: 404, Code: "MANIFEST_UNKNOWN", Message: `"` + shown + `" is not a tag: use letters, digits, . _ and -, not beginning with . or -, at most 128 characters`}
}

func badDigest(shown string) outcome {
	return outcome{Status: 400, Code: "DIGEST_INVALID", Message: `"` + shown + `" is not a digest: use sha256: and 64 or sha512: and 128 lower-case hexadecimal digits`}
}

func bad(code, message string) outcome { return outcome{Status: 400, Code: code, Message: message} }

func TestParsePing(t *testing.T) {
	runParse(t, []parseCase{
		{"with slash", "/v2/", ping("")},
		{"without slash", "/v2", ping("")},
		{"path", "/team/v2/", ping("team")},
		{"path without slash", "/team/v2", ping("team")},
		{"long path", "/team/prod/docker.io/v2/", ping("team/prod/docker.io")},
		{"ns", "/v2/?ns=docker.io", ping("").with("docker.io")},
		{"absolute form", "http://berth.test/v2/", ping("")},
		{"slash before", "//v2/", ping("")},
		{"two slashes after", "/v2//", notAPI()},
		{"path is no name", "/Team/v2/", badName("Team")},
		{"path of dots", "/../v2/", badName("..")},
		{"path of one dot", "/./v2/", badName(".")},
		{"path with two slashes", "/a//v2/", badName("a/")},
		{"root", "/", notAPI()},
		{"another API", "/v1/_ping", notAPI()},
		{"v2 is a whole word", "/v2x/", notAPI()},
		{"v2 in upper case", "/V2/", notAPI()},
		{"asterisk", "*", notAPI()},
	})
}

func TestParseEndpoints(t *testing.T) {
	runParse(t, []parseCase{
		{"manifest by tag", "/v2/library/alpine/manifests/3.20", tagged("library/alpine", "3.20")},
		{"manifest by digest", "/v2/alpine/manifests/" + sha256, byDigest(kindManifest, "alpine", sha256)},
		{"manifest by sha512", "/v2/alpine/manifests/" + sha512, byDigest(kindManifest, "alpine", sha512)},
		{"blob", "/v2/a/b/c/d/blobs/" + sha256, byDigest(kindBlob, "a/b/c/d", sha256)},
		{"blob by sha512", "/v2/a/blobs/" + sha512, byDigest(kindBlob, "a", sha512)},
		{"referrers", "/v2/a/b/referrers/" + sha256, byDigest(kindReferrers, "a/b", sha256)},
		{"tags", "/v2/a/b/tags/list", tagsOf("a/b", -1, "")},
		{"path before", "/team/v2/app/manifests/1", tagged("team/app", "1")},
		{"long path before", "/team/prod/v2/docker.io/app/blobs/" + sha256, byDigest(kindBlob, "team/prod/docker.io/app", sha256)},
		{"path before tags", "/team/v2/app/tags/list", tagsOf("team/app", -1, "")},
		{"path before referrers", "/team/v2/app/referrers/" + sha256, byDigest(kindReferrers, "team/app", sha256)},
		{"path before is no name", "/-/v2/app/manifests/1", badName("-/app")},
		{"path before with dots", "/a/../v2/app/manifests/1", badName("a/../app")},
		{"slash before", "//v2/app/manifests/1", tagged("app", "1")},
		{"slash after a path", "/a//v2/app/manifests/1", badName("a//app")},
		{"slash at the end", "/v2/app/manifests/1/", notAPI()},
		{"slash after tags", "/v2/app/tags/list/", notAPI()},
		{"no reference", "/v2/app/manifests/", notAPI()},
		{"no reference and no slash", "/v2/app/manifests", notAPI()},
		{"no name", "/v2/manifests/1", notAPI()},
		{"no name before tags", "/v2/tags/list", notAPI()},
		{"empty name", "/v2//manifests/1", badName("")},
		{"empty name before tags", "/v2//tags/list", badName("")},
		{"only a name", "/v2/library/alpine", notAPI()},
		{"another kind", "/v2/app/layers/1", notAPI()},
		{"tags but no list", "/v2/app/tags/1", notAPI()},
		{"upload", "/v2/app/blobs/uploads/", notAPI()},
		{"upload under way", "/v2/app/blobs/uploads/5", notAPI()},
		{"upload without slash", "/v2/app/blobs/uploads", badDigest("uploads")},
		{"catalog", "/v2/_catalog", outcome{Status: 404, Code: "UNSUPPORTED", Message: "there is no list of repositories: name the one you want"}},
		{"catalog with a query", "/v2/_catalog?n=1", outcome{Status: 404, Code: "UNSUPPORTED", Message: "there is no list of repositories: name the one you want"}},
		{"catalog of a path", "/team/v2/_catalog", outcome{Status: 404, Code: "UNSUPPORTED", Message: "there is no list of repositories: name the one you want"}},
		{"catalog of a repository", "/v2/app/_catalog", outcome{Status: 404, Code: "UNSUPPORTED", Message: "there is no list of repositories: name the one you want"}},
		{"HEAD is known by its method", "/v2/app/manifests/HEAD", tagged("app", "HEAD")},
	})
}

// The words of the API are names like any other.
func TestParseNamesThatAreWords(t *testing.T) {
	runParse(t, []parseCase{
		{"manifests", "/v2/manifests/manifests/manifests", tagged("manifests", "manifests")},
		{"manifests within", "/v2/a/manifests/b/manifests/1", tagged("a/manifests/b", "1")},
		{"blobs", "/v2/blobs/blobs/" + sha256, byDigest(kindBlob, "blobs", sha256)},
		{"blobs before a tag", "/v2/a/blobs/manifests/1", tagged("a/blobs", "1")},
		{"tags", "/v2/tags/manifests/list", tagged("tags", "list")},
		{"tags of tags", "/v2/tags/list/tags/list", tagsOf("tags/list", -1, "")},
		{"tags/list before a tag", "/v2/tags/list/manifests/1", tagged("tags/list", "1")},
		{"tags of manifests", "/v2/a/manifests/tags/list", tagsOf("a/manifests", -1, "")},
		{"referrers", "/v2/referrers/referrers/" + sha256, byDigest(kindReferrers, "referrers", sha256)},
		{"v2", "/v2/v2/manifests/v2", tagged("v2", "v2")},
		{"v2 within", "/v2/org/v2/app/manifests/1", tagged("org/v2/app", "1")},
		{"v2 after a path", "/team/v2/v2/manifests/1", tagged("team/v2", "1")},
		{"uploads", "/v2/uploads/manifests/uploads", tagged("uploads", "uploads")},
	})
}

func TestParseReferences(t *testing.T) {
	tag128 := strings.Repeat("T", 128)
	cases := []parseCase{
		{"128 characters", "/v2/app/manifests/" + tag128, tagged("app", tag128)},
		{"129 characters", "/v2/app/manifests/" + tag128 + "T", badTag(tag128[:80] + "…")},
		{"all characters", "/v2/app/manifests/_Az09.-", tagged("app", "_Az09.-")},
		{"signature", "/v2/app/manifests/sha256-" + hex64 + ".sig", tagged("app", "sha256-"+hex64+".sig")},
		{"dot first", "/v2/app/manifests/.a", badTag(".a")},
		{"dash first", "/v2/app/manifests/-a", badTag("-a")},
		{"dots", "/v2/app/manifests/..", badTag("..")},
		{"plus", "/v2/app/manifests/1+2", badTag("1+2")},
		{"at", "/v2/app/manifests/1@" + sha256, badDigest("1@" + sha256)},
		{"colon escaped", "/v2/app/manifests/sha256%3A" + hex64, byDigest(kindManifest, "app", sha256)},
		{"colon escaped in lower case", "/v2/app/blobs/sha256%3a" + hex64, byDigest(kindBlob, "app", sha256)},
		{"colon escaped twice", "/v2/app/blobs/sha256%253A" + hex64, bad("NAME_INVALID", "the path holds an escape that is in no name, tag or digest")},
		{"referrers of a tag", "/v2/app/referrers/latest", badDigest("latest")},
		{"blob by tag", "/v2/app/blobs/latest", badDigest("latest")},
	}
	for _, d := range []string{
		"sha256:", "sha256:" + hex64[1:], sha256 + "0", strings.ToUpper(sha256), "sha256:" + strings.ToUpper(hex64), "SHA256:" + hex64,
		"sha256:" + hex64[:63] + "g", "sha256:" + hex64[:63] + "-", ":" + hex64, "sha256::" + hex64[1:], "sha512:" + hex64, "sha384:" + hex64 + hex64[:32],
		"sha1:" + hex64[:40], "md5:" + hex64[:32], "sha256+b64u:" + hex64, "sha256:" + hex64[:32] + ":" + hex64[:31], "latest:1", "blake3:" + hex64, "sha256:..",
	} {
		shown := d
		if len(d) > 80 {
			shown = d[:80] + "…"
		}
		for _, kind := range []string{"manifests", "blobs", "referrers"} {
			cases = append(cases, parseCase{kind + " " + d, "/v2/app/" + kind + "/" + d, badDigest(shown)})
		}
	}
	runParse(t, cases)
}

func TestParseNames(t *testing.T) {
	a255 := strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127)
	escape := bad("NAME_INVALID", "the path holds an escape that is in no name, tag or digest")
	cases := []parseCase{
		{"255 characters", "/v2/" + a255 + "/manifests/1", tagged(a255, "1")},
		{"256 characters", "/v2/" + a255 + "c/manifests/1", badName(a255[:80] + "…")},
		{"255 characters with the path before", "/" + a255[:127] + "/v2/" + a255[128:] + "/manifests/1", tagged(a255, "1")},
		{"256 characters with the path before", "/" + a255[:127] + "/v2/" + a255[128:] + "c/manifests/1", badName(a255[:80] + "…")},
		{"60000 characters", "/v2/" + strings.Repeat("a/", 30000) + "a/manifests/1", badName(strings.Repeat("a/", 40) + "…")},
		{"60000 slashes", strings.Repeat("/", 60000), notAPI()},
		{"60000 times v2", strings.Repeat("/v2", 20000) + "/manifests/1", badName(strings.Repeat("v2/", 40)[:80] + "…")},
		{"all separators", "/v2/a.b_c__d-e--f---g/0/manifests/1", tagged("a.b_c__d-e--f---g/0", "1")},
		{"port", "/v2/localhost:5000/app/manifests/1", badName("localhost:5000/app")},
		{"port escaped", "/v2/localhost%3A5000/app/manifests/1", badName("localhost:5000/app")},
		{"dot at the end escaped", "/v2/app%2e/manifests/1", escape},
		{"slash escaped", "/v2/library%2Falpine/manifests/1", escape},
		{"slash escaped in lower case", "/v2/library%2falpine/manifests/1", escape},
		{"dot segments escaped", "/v2/a/%2e%2e/%2E%2E/manifests/1", escape},
		{"zero", "/v2/a%00b/manifests/1", escape},
		{"zero in a tag", "/v2/a/manifests/1%00", escape},
		{"line end", "/v2/a%0d%0aX:y/manifests/1", escape},
		{"letter escaped", "/v2/%61pp/manifests/1", escape},
		{"other letters", "/v2/ü/manifests/1", escape},
		{"backslash", `/v2/a\b/manifests/1`, escape},
		{"blank", "/v2/a%20b/manifests/1", escape},
	}
	for _, name := range []string{
		"App", "aPP", "a/B", ".", "..", "a/..", "../a", "a/../b", "a/./b", ".a", "a.", "a..b", "_a", "a_", "a___b", "-a", "a-", "a._b", "a-_b", "a_-b", "a.-b",
		"a//b", "a/", "a+b", "a~b", "a@b", "a=b", "a;b", "a,b", "a$b", "a!b", "a'b", "(a)", "a*b", "a&b", "a:b",
	} {
		cases = append(
			cases,
			parseCase{"name " + name, "/v2/" + name + "/manifests/1", badName(name)},
			parseCase{"name " + name + " of tags", "/v2/" + name + "/tags/list", badName(name)},
		)
	}
	runParse(t, cases)
}

func TestParseQuery(t *testing.T) {
	const at, referrers = "/v2/app/manifests/1?", "/v2/app/referrers/"
	refers := byDigest(kindReferrers, "app", sha256)
	twice := bad("NAME_INVALID", "ns is given more than once, with different hosts")
	unreadable := bad("UNSUPPORTED", "the query cannot be read: escape what is not a letter or digit")
	n := bad("UNSUPPORTED", "n is not a number of tags: give 0 or more")
	runParse(t, []parseCase{
		{"empty", at, tagged("app", "1")},
		{"unknown parameters", at + "a=b&c&service=x", tagged("app", "1")},
		{"ns", at + "ns=docker.io", tagged("app", "1").with("docker.io")},
		{"ns among others", at + "x=y&ns=quay.io&z", tagged("app", "1").with("quay.io")},
		{"ns with a port", at + "ns=harbor.corp%3A5000", tagged("app", "1").with("harbor.corp:5000")},
		{"ns keeps its case", at + "ns=Docker.IO", tagged("app", "1").with("Docker.IO")},
		{"ns that is no host is for the catalog to refuse", at + "ns=http%3A%2F%2F169.254.169.254%2F", tagged("app", "1").with("http://169.254.169.254/")},
		{"ns twice", at + "ns=docker.io&ns=docker.io", tagged("app", "1").with("docker.io")},
		{"ns twice, different", at + "ns=docker.io&ns=quay.io", twice},
		{"ns three times, the middle different", at + "ns=docker.io&ns=quay.io&ns=docker.io", twice},
		{"ns twice, once empty", at + "ns=&ns=quay.io", twice},
		{"ns empty", at + "ns=", bad("NAME_INVALID", "ns is empty: name an upstream's host or leave it out")},
		{"ns alone", at + "ns", bad("NAME_INVALID", "ns is empty: name an upstream's host or leave it out")},
		{"NS is not ns", at + "NS=quay.io", tagged("app", "1")},
		{"percent", at + "a=%", unreadable},
		{"half an escape", at + "a=%2", unreadable},
		{"semicolon", at + "ns=docker.io;x=y", unreadable},
		{"4096 bytes", at + "a=" + strings.Repeat("b", 4094), tagged("app", "1")},
		{"4097 bytes", at + "a=" + strings.Repeat("b", 4095), bad("UNSUPPORTED", "the query is longer than 4096 bytes")},
		{"question mark in a value", at + "a=?/v2/x/manifests/2", tagged("app", "1")},

		{"page", "/v2/app/tags/list?n=5&last=1.0", tagsOf("app", 5, "1.0")},
		{"page of none", "/v2/app/tags/list?n=0", tagsOf("app", 0, "")},
		{"page with ns", "/v2/app/tags/list?ns=quay.io&n=5", tagsOf("app", 5, "").with("quay.io")},
		{"n beyond numbers", "/v2/app/tags/list?n=99999999999999999999", tagsOf("app", 1<<30, "")},
		{"n with zeros", "/v2/app/tags/list?n=007", tagsOf("app", 7, "")},
		{"n empty", "/v2/app/tags/list?n=", n},
		{"n negative", "/v2/app/tags/list?n=-1", n},
		{"n negative beyond numbers", "/v2/app/tags/list?n=-99999999999999999999", n},
		{"n of letters", "/v2/app/tags/list?n=ten", n},
		{"n of halves", "/v2/app/tags/list?n=1.5", n},
		{"n with a blank", "/v2/app/tags/list?n=+5", n},
		{"n with a sign", "/v2/app/tags/list?n=%2B5", n},
		{"n in hexadecimal", "/v2/app/tags/list?n=0x10", n},
		{"last empty", "/v2/app/tags/list?last=", tagsOf("app", -1, "")},
		{"last that is a cursor", "/v2/app/tags/list?last=..%2Fx%3D%3D", tagsOf("app", -1, "../x==")},
		{"last of 129", "/v2/app/tags/list?last=" + strings.Repeat("x", 129), tagsOf("app", -1, strings.Repeat("x", 129))},
		{"n and last of a manifest mean nothing", at + "n=x&last=..", tagged("app", "1")},

		{"referrers of a type", referrers + sha256 + "?artifactType=a%2Fb", refers.asking("artifactType=a%2Fb")},
		{"referrers as they came", referrers + sha256 + "?b=2&a=1&b=1&&c", refers.asking("b=2&a=1&b=1&&c")},
		{"referrers without ns", referrers + sha256 + "?ns=quay.io", refers.with("quay.io")},
		{"referrers without ns first", referrers + sha256 + "?ns=quay.io&a=1", refers.asking("a=1").with("quay.io")},
		{"referrers without ns last", referrers + sha256 + "?a=1&nsx=2&ns=quay.io", refers.asking("a=1&nsx=2").with("quay.io")},
		{"referrers without ns escaped", referrers + sha256 + "?a=1&%6es=quay.io", refers.asking("a=1").with("quay.io")},
	})
}

// Only GET and HEAD are taken, in exactly this spelling, and without a body.
func TestParseMethod(t *testing.T) {
	method := outcome{Status: 405, Code: "UNSUPPORTED", Message: "this is a cache to pull from, it takes GET and HEAD only: push to the registry itself"}
	head := tagged("app", "1")
	head.Request.head = true
	for name, want := range map[string]outcome{
		"GET": tagged("app", "1"), "HEAD": head, "POST": method, "PUT": method, "PATCH": method, "DELETE": method,
		"OPTIONS": method, "TRACE": method, "get": method, "QUERY": method, "GETT": method,
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, parseTarget(t, name, "/v2/app/manifests/1"), cmp.AllowUnexported(request{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, length := range []int64{-1, 1} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		if _, err := parse(r); !errors.Is(err, errBody) {
			t.Errorf("with a body of %d bytes: %v, want errBody", length, err)
		}
	}
}

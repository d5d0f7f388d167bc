package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/catalog"
)

// raw sends a request as it is written, which Go's client would tidy up first, and
// returns the answer.
func (r *rig) raw(request string) answer {
	r.tb.Helper()
	addrs, err := r.network.LookupNetIP(r.tb.Context(), "ip", "berth.test")
	check(r.tb, err)
	conn, err := r.network.DialContext(r.tb.Context(), "tcp", addrs[0].String()+":80")
	check(r.tb, err)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(conn, request) //nolint:errcheck // a server that answers early does not read all
	}()
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	check(r.tb, err)
	body, err := io.ReadAll(response.Body)
	conn.Close()
	<-written
	return answer{response, body, err}
}

// refused is what a client is told that asked for something impossible.
type refused struct {
	Status        int
	Code, Message string
	// Allow, ContentRange and ContentType are headers.
	Allow, ContentRange, ContentType string
}

// refusedAs reads an answer as the error of the API that it must be.
func refusedAs(t *testing.T, a answer) refused {
	t.Helper()
	got := refused{
		Status: a.StatusCode, Allow: a.Header.Get("Allow"),
		ContentRange: a.Header.Get("Content-Range"), ContentType: a.Header.Get("Content-Type"),
	}
	if a.cut != nil || a.ContentLength < 0 {
		t.Errorf("body of length %d was cut: %v", a.ContentLength, a.cut)
	}
	want := map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
		"Docker-Distribution-Api-Version": "registry/2.0",
	}
	for name, value := range want {
		if a.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, a.Header.Get(name), value)
		}
	}
	if len(a.body) == 0 {
		return got
	}
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(a.body, &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("body is not one error of the API: %s", a.body)
	}
	got.Code, got.Message = body.Errors[0].Code, body.Errors[0].Message
	return got
}

const (
	sayMethod = "this is a cache to pull from, it takes GET and HEAD only: push to the registry itself"
	sayBody   = "a pull has no body: send the request without one"
	sayNoAPI  = "there is nothing at this path: the API is /v2/<name>/{manifests,blobs,referrers}/<reference> and /v2/<name>/tags/list"
	sayEscape = "the path holds an escape that is in no name, tag or digest"
	sayRange  = "the blob does not have that range of bytes, or it cannot be read: Content-Range tells the blob's size"
	sayQuery  = "the query cannot be read: escape what is not a letter or digit"
	sayN      = "n is not a number of tags: give 0 or more"
)

func sayName(shown string) string {
	return `"` + shown + `" is not a repository name: use lower-case letters and digits, separated by one of . _ __ - and /, at most 255 characters`
}

func sayTag(shown string) string {
	return `"` + shown + `" is not a tag: use letters, digits, . _ and -, not beginning with . or -, at most 128 characters`
}

func sayDigest(shown string) string {
	return `"` + shown + `" is not a digest: use sha256: and 64 or sha512: and 128 lower-case hexadecimal digits`
}

// badInput is a request that no upstream may hear of.
type badInput struct {
	name string
	// request is its first line without the protocol, then headers, then after an empty
	// line the body; lines end with \n. Host is berth.test.
	request string
	want    refused
}

func (b badInput) raw() string {
	head, body, _ := strings.Cut(b.request, "\n\n")
	line, headers, _ := strings.Cut(head, "\n")
	lines := append([]string{line + " HTTP/1.1", "Host: berth.test", "Connection: close"}, strings.Split(headers, "\n")...)
	if headers == "" {
		lines = lines[:3]
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func api(status int, code, message string) refused {
	return refused{Status: status, Code: code, Message: message, ContentType: "application/json"}
}

func badInputs(blob digest.Digest) []badInput {
	const tag = "/v2/app/manifests/1"
	blobAt, hex := "/v2/app/blobs/"+blob.String(), blob.Encoded()
	method := api(405, "UNSUPPORTED", sayMethod)
	method.Allow = "GET, HEAD"
	wrongRange := api(416, "UNSUPPORTED", sayRange)
	wrongRange.ContentRange = "bytes */7"
	long := strings.Repeat("a", 256)

	all := []badInput{
		{"root", "GET /", api(404, "NAME_UNKNOWN", sayNoAPI)},
		{"API of version 1", "GET /v1/search?q=x", api(404, "NAME_UNKNOWN", sayNoAPI)},
		{"asterisk", "GET *", api(404, "NAME_UNKNOWN", sayNoAPI)},
		{"catalog", "GET /v2/_catalog?n=100", api(404, "UNSUPPORTED", "there is no list of repositories: name the one you want")},
		{"upper case", "GET /v2/App/manifests/1", api(400, "NAME_INVALID", sayName("App"))},
		{"empty name", "GET /v2//manifests/1", api(400, "NAME_INVALID", sayName(""))},
		{"long name", "GET /v2/" + long + "/manifests/1", api(400, "NAME_INVALID", sayName(long[:80]+"…"))},
		{"dot segments", "GET /v2/app/../../etc/manifests/1", api(400, "NAME_INVALID", sayName("app/../../etc"))},
		{"dot segments out of the API", "GET /v2/../../etc/passwd", api(404, "NAME_UNKNOWN", sayNoAPI)},
		{"dot segment before the API", "GET /app/../v2/app/manifests/1", api(400, "NAME_INVALID", sayName("app/../app"))},
		{"dot segment", "GET /v2/./app/manifests/1", api(400, "NAME_INVALID", sayName("./app"))},
		{"two slashes", "GET /v2/app//x/manifests/1", api(400, "NAME_INVALID", sayName("app//x"))},
		{"slash at the end", "GET /v2/app/manifests/1/", api(404, "NAME_UNKNOWN", sayNoAPI)},
		{"dot segments escaped", "GET /v2/app/%2e%2e/x/manifests/1", api(400, "NAME_INVALID", sayEscape)},
		{"slash escaped", "GET /v2/app%2Fx/manifests/1", api(400, "NAME_INVALID", sayEscape)},
		{"zero escaped", "GET /v2/app/manifests/1%00", api(400, "NAME_INVALID", sayEscape)},
		{"line end escaped", "GET /v2/app/manifests/1%0d%0aSet-Cookie:x", api(400, "NAME_INVALID", sayEscape)},
		{"markup", "GET /v2/<script>/manifests/1", api(400, "NAME_INVALID", sayEscape)},
		{"port in a name", "GET /v2/localhost:5000/app/manifests/1", api(400, "NAME_INVALID", sayName("localhost:5000/app"))},
		{"upstream without a repository", "GET /v2/docker.io/manifests/1", api(404, "NAME_UNKNOWN", "docker.io names a registry or an upstream, not a repository: put the repository's name after it")},
		{"unknown upstream", "GET /v2/ghcr.io/org/app/manifests/1", api(404, "NAME_UNKNOWN", "no upstream of registry default is called ghcr.io; it has docker.io")},
		{"address in a name", "GET /v2/169.254.169.254/latest/manifests/1", api(404, "NAME_UNKNOWN", "no upstream of registry default is called 169.254.169.254; it has docker.io")},

		{"tag of dots", "GET /v2/app/manifests/..", api(404, "MANIFEST_UNKNOWN", sayTag(".."))},
		{"tag with a dash first", "GET /v2/app/manifests/-1", api(404, "MANIFEST_UNKNOWN", sayTag("-1"))},
		{"tag of 129", "GET /v2/app/manifests/" + long[:129], api(404, "MANIFEST_UNKNOWN", sayTag(long[:80]+"…"))},
		{"digest too short", "GET /v2/app/manifests/sha256:" + hex[1:], api(400, "DIGEST_INVALID", sayDigest("sha256:"+hex[1:]))},
		{"digest of another algorithm", "GET /v2/app/blobs/md5:" + hex[:32], api(400, "DIGEST_INVALID", sayDigest("md5:"+hex[:32]))},
		{"digest in upper case", "GET /v2/app/blobs/sha256:" + strings.ToUpper(hex[:63]) + "A", api(400, "DIGEST_INVALID", sayDigest("sha256:"+strings.ToUpper(hex[:63])+"A"))},
		{"digest of dots", "GET /v2/app/referrers/sha256:../../x", api(404, "NAME_UNKNOWN", sayNoAPI)},
		{"blob by tag", "GET /v2/app/blobs/latest", api(400, "DIGEST_INVALID", sayDigest("latest"))},
		{"referrers of a tag", "GET /v2/app/referrers/latest", api(400, "DIGEST_INVALID", sayDigest("latest"))},
		{"upload under way", "GET /v2/app/blobs/uploads/1", api(404, "NAME_UNKNOWN", sayNoAPI)},

		{"ns unknown", "GET " + tag + "?ns=ghcr.io", api(404, "NAME_UNKNOWN", "no upstream of registry default is called ns=ghcr.io; it has docker.io")},
		{"ns of an address", "GET " + tag + "?ns=127.0.0.1:80", api(404, "NAME_UNKNOWN", "no upstream of registry default is called ns=127.0.0.1:80; it has docker.io")},
		{"ns of a URL", "GET " + tag + "?ns=http://docker.io", api(404, "NAME_UNKNOWN", "no upstream of registry default is called ns=http://docker.io; it has docker.io")},
		{"ns with a line end", "GET " + tag + "?ns=docker.io%0d%0aX:y", api(404, "NAME_UNKNOWN", "no upstream of registry default is called ns=docker.io\r\nX:y; it has docker.io")},
		{"ns empty", "GET " + tag + "?ns=", api(400, "NAME_INVALID", "ns is empty: name an upstream's host or leave it out")},
		{"ns twice", "GET " + tag + "?ns=docker.io&ns=hub.test", api(400, "NAME_INVALID", "ns is given more than once, with different hosts")},
		{"ns of a ping unknown", "GET /v2/?ns=ghcr.io", api(404, "NAME_UNKNOWN", "no upstream of registry default is called ns=ghcr.io; it has docker.io")},
		{"query with half an escape", "GET " + tag + "?a=%2", api(400, "UNSUPPORTED", sayQuery)},
		{"query with a semicolon", "GET " + tag + "?a;b", api(400, "UNSUPPORTED", sayQuery)},
		{"query too long", "GET " + tag + "?" + strings.Repeat("a", 4097), api(400, "UNSUPPORTED", "the query is longer than 4096 bytes")},
		{"n of letters", "GET /v2/app/tags/list?n=x", api(400, "UNSUPPORTED", sayN)},
		{"n negative", "GET /v2/app/tags/list?n=-1", api(400, "UNSUPPORTED", sayN)},

		{"body", "GET " + tag + "\nContent-Length: 3\n\nabc", api(400, "UNSUPPORTED", sayBody)},
		{"body in chunks", "GET " + tag + "\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n", api(400, "UNSUPPORTED", sayBody)},
		{"body of a ping", "GET /v2/\nContent-Length: 1\n\na", api(400, "UNSUPPORTED", sayBody)},
		{"body that never comes", "GET " + tag + "\nContent-Length: 9999999\nExpect: 100-continue", api(400, "UNSUPPORTED", sayBody)},
		{"upload", "POST /v2/app/blobs/uploads/\nContent-Length: 0", method},
		{"upload whole", "POST /v2/app/blobs/uploads/?digest=" + blob.String() + "\nContent-Length: 7\n\ncontent", method},
		{"mount", "POST /v2/app/blobs/uploads/?mount=" + blob.String() + "&from=other", method},
		{"push of a manifest", "PUT " + tag + "\nContent-Length: 2\n\n{}", method},
		{"method before path", "DELETE /nowhere", method},
		{"connect", "CONNECT berth.test:80", method},

		{"range beyond the end", "GET " + blobAt + "\nRange: bytes=7-", wrongRange},
		{"range far beyond", "GET " + blobAt + "\nRange: bytes=99999999999999999999-", wrongRange},
		{"range backwards", "GET " + blobAt + "\nRange: bytes=5-2", wrongRange},
		{"range of letters", "GET " + blobAt + "\nRange: bytes=a-b", wrongRange},
		{"range without a number", "GET " + blobAt + "\nRange: bytes=-", wrongRange},
		{"ranges, one of them bad", "GET " + blobAt + "\nRange: bytes=0-1,x", wrongRange},
		{"ranges beyond the end", "GET " + blobAt + "\nRange: bytes=8-9,10-11", wrongRange},
	}
	for _, m := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"} {
		for _, path := range []string{"/v2/", tag, blobAt, "/v2/app/tags/list", "/v2/app/referrers/" + blob.String()} {
			all = append(all, badInput{m + " " + path[:min(len(path), 14)], m + " " + path, method})
		}
	}
	// A HEAD is answered alike, without the body.
	for _, b := range all {
		if rest, ok := strings.CutPrefix(b.request, "GET "); ok && b.want.Status != 416 {
			b.want.Code, b.want.Message = "", ""
			all = append(all, badInput{"HEAD: " + b.name, "HEAD " + rest, b.want})
		}
	}
	return all
}

// What cannot be meant is answered here, in words that help, and asked of no upstream.
func TestBadInput(t *testing.T) {
	r := newRig(t, plan{
		upstreams: []far{{name: "hub", hosts: []string{"docker.io"}}},
		more: func(upstreams map[string]*catalog.Upstream) []*catalog.Registry {
			return []*catalog.Registry{{Name: "team", Path: "team", Upstreams: []*catalog.Upstream{upstreams["hub"]}}}
		},
	})
	blob := r.hubs["hub"].AddBlob("app", []byte("content"))
	r.hubs["hub"].AddImage("app", "1", []byte("content"))
	r.pulled(blobPath("app", blob), []byte("content"))
	r.hubs["hub"].Reset()
	for i, b := range badInputs(blob) {
		t.Run(fmt.Sprint(i, " ", b.name), func(t *testing.T) {
			if diff := cmp.Diff(b.want, refusedAs(t, r.raw(b.raw()))); diff != "" {
				t.Errorf("%.200s (-want +got):\n%s", b.request, diff)
			}
			r.asked("hub")
		})
	}
	r.pulled("/v2/app/blobs/"+blob.String(), []byte("content"))
}

// What is no request at all ends in the server, before anything of ours.
func TestNoRequest(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	for name, request := range map[string]string{
		"escape that is none":       "GET /v2/%zz/manifests/1 HTTP/1.1\r\nHost: berth.test\r\n\r\n",
		"blank in the path":         "GET /v2/a b/manifests/1 HTTP/1.1\r\nHost: berth.test\r\n\r\n",
		"zero in the path":          "GET /v2/a\x00/manifests/1 HTTP/1.1\r\nHost: berth.test\r\n\r\n",
		"no host":                   "GET /v2/ HTTP/1.1\r\n\r\n",
		"two hosts":                 "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"host with a path":          "GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"two lengths":               "GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"length and chunks, folded": "GET /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
		"header without a colon":    "GET /v2/ HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if a := r.raw(request); a.StatusCode < 400 {
				t.Errorf("%s: %s", a.Status, a.body)
			}
			r.asked("hub")
		})
	}
}

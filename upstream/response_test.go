package upstream_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

var withoutBody = cmpopts.IgnoreFields(upstream.Response{}, "Body")

func TestManifest(t *testing.T) {
	reg := upstreamtest.New(t)
	img := reg.AddImage("a", "1", []byte("layer"))
	want := upstream.Response{
		Status: 200, Digest: img.Digest, MediaType: ocispec.MediaTypeImageManifest,
		ETag: string(img.Digest), Size: int64(len(img.Manifest)),
	}
	c := newClient(t, reg.Start(t))
	for _, tc := range []struct {
		r    upstream.Request
		body string
	}{
		{manifest("a", "1"), string(img.Manifest)},
		{manifest("a", string(img.Digest)), string(img.Manifest)},
		{head("a", "1"), ""},
	} {
		resp, body := fetch(t, c, tc.r)
		if diff := cmp.Diff(want, *resp, withoutBody); diff != "" || body != tc.body {
			t.Errorf("%v: body %q: %s", tc.r, body, diff)
		}
	}
	short := "@" + upstreamtest.Short(img.Digest)
	if diff := cmp.Diff([]string{"GET manifest a:1", "GET manifest a" + short, "HEAD manifest a:1"}, reg.Requests()); diff != "" {
		t.Error(diff)
	}
}

// TestClaims: what an upstream says in headers is cleaned, not believed.
func TestClaims(t *testing.T) {
	sha512 := "sha512:" + strings.Repeat("ab", 64)
	cases := []struct {
		name   string
		fault  upstreamtest.Fault
		digest string
		media  string
		etag   string
	}{
		{"sha512", upstreamtest.Fault{Digest: sha512, MediaType: "X/Y; charset=utf-8"}, sha512, "x/y", "e"},
		{"no digest", upstreamtest.Fault{Digest: "-", Header: http.Header{"Etag": nil}}, "", "t/t", ""},
		{"md5", upstreamtest.Fault{Digest: "md5:d41d8cd98f00b204e9800998ecf8427e"}, "", "t/t", "e"},
		{"nonsense", upstreamtest.Fault{Digest: "../../etc"}, "", "t/t", "e"},
		{"upper case", upstreamtest.Fault{Digest: "sha256:" + strings.Repeat("AB", 32)}, "", "t/t", "e"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddManifest("a", "1", "t/t", []byte("m"))
			if tc.fault.Header == nil {
				tc.fault.Header = http.Header{"Etag": {`W/"e"`}}
			}
			reg.Fail(nil, tc.fault)
			resp, _ := fetch(t, newClient(t, reg.Start(t)), head("a", "1"))
			got := []string{string(resp.Digest), resp.MediaType, resp.ETag}
			if diff := cmp.Diff([]string{tc.digest, tc.media, tc.etag}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBlobRanges(t *testing.T) {
	partial := func(contentRange string) upstreamtest.Fault {
		return upstreamtest.Fault{Status: 206, Body: []byte("body"), Header: http.Header{"Content-Range": {contentRange}}}
	}
	cases := []struct {
		name           string
		offset, length int64
		fault          upstreamtest.Fault
		ignore         bool
		want           upstream.Response // Status, Offset, Size; zero is an error
		body, line     string
	}{
		{name: "whole", want: upstream.Response{Status: 200, Size: 10}, body: "0123456789", line: ""},
		{name: "whole by -1", length: -1, want: upstream.Response{Status: 200, Size: 10}, body: "0123456789", line: ""},
		{name: "rest", offset: 4, want: upstream.Response{Status: 206, Offset: 4, Size: 10}, body: "456789", line: " bytes=4-"},
		{name: "part", offset: 4, length: 2, want: upstream.Response{Status: 206, Offset: 4, Size: 10}, body: "45", line: " bytes=4-5"},
		{name: "start", length: 2, want: upstream.Response{Status: 206, Size: 10}, body: "01", line: " bytes=0-1"},
		{name: "ignored", offset: 4, ignore: true, want: upstream.Response{Status: 200, Size: 10}, body: "0123456789", line: " bytes=4-"},
		{name: "past the end", offset: 10, line: " bytes=10-"},
		{name: "starts earlier", offset: 4, fault: partial("bytes 2-5/10"), want: upstream.Response{Status: 206, Offset: 2, Size: 10}, body: "body", line: " bytes=4-"},
		{name: "starts later", offset: 4, fault: partial("bytes 5-8/10"), line: " bytes=4-"},
		{name: "unknown size", offset: 4, fault: partial("bytes 4-7/*"), want: upstream.Response{Status: 206, Offset: 4, Size: -1}, body: "body", line: " bytes=4-"},
		{name: "no Content-Range", offset: 4, fault: upstreamtest.Fault{Status: 206, Body: []byte("body")}, line: " bytes=4-"},
		{name: "206 for the whole", fault: partial("bytes 0-3/4"), line: ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			d := reg.AddBlob("a", []byte("0123456789"))
			reg.IgnoreRanges(tc.ignore)
			reg.Fail(nil, tc.fault)
			c := newClient(t, reg.Start(t))
			r := blob("a", string(d), tc.offset)
			r.Length = tc.length
			if tc.want.Status == 0 {
				if e := refused(t, c, r); e.Class != upstream.Unavailable {
					t.Errorf("class %v: %v", e.Class, e)
				}
			} else {
				resp, body := fetch(t, c, r)
				got := upstream.Response{Status: resp.Status, Offset: resp.Offset, Size: resp.Size}
				if diff := cmp.Diff(tc.want, got); diff != "" || body != tc.body {
					t.Errorf("body %q: %s", body, diff)
				}
			}
			if diff := cmp.Diff([]string{"GET blob a@" + upstreamtest.Short(d) + tc.line}, reg.Requests()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRangeAcrossRedirect(t *testing.T) {
	reg := upstreamtest.New(t)
	d := reg.AddBlob("a", []byte("0123456789"))
	reg.RequireToken(user, password)
	reg.StartStorage(t)
	c := newClient(t, reg.Start(t), withLogin)
	resp, body := fetch(t, c, blob("a", string(d), 7))
	if resp.Status != 206 || resp.Offset != 7 || resp.Size != 10 || body != "789" {
		t.Errorf("%+v: %q", resp, body)
	}
	r := blob("a", string(d), 0)
	r.Method = http.MethodHead
	if resp, _ := fetch(t, c, r); resp.Size != 10 {
		t.Errorf("HEAD: %+v", resp)
	}
}

func TestContentRange(t *testing.T) {
	for _, header := range []string{
		"", "bytes", "bytes */10", "bytes 5-4/10", "bytes 4-10/10", "bytes -4/10", "bytes 4-/10", "bytes 4-5",
		"items 4-5/10", "bytes 4-5/x", "bytes 99999999999999999999-5/10", "bytes 5-6/10", "bytes 4-5/-1",
	} {
		if offset, size, err := upstream.ContentRange(header, 4); err == nil {
			t.Errorf("%q: %d of %d", header, offset, size)
		}
	}
}

func TestEncodedAnswers(t *testing.T) {
	for encoding, ok := range map[string]bool{"gzip": false, "zstd": false, "identity": true, "": true} {
		t.Run(encoding, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddImage("a", "1")
			reg.Fail(nil, upstreamtest.Fault{Header: http.Header{"Content-Encoding": {encoding}}})
			c := newClient(t, reg.Start(t))
			if ok {
				fetch(t, c, manifest("a", "1"))
				return
			}
			e := refused(t, c, manifest("a", "1"))
			if e.Class != upstream.Unavailable || !strings.HasSuffix(e.Message, "encoded although identity was asked for") {
				t.Error(e)
			}
		})
	}
}

func TestTags(t *testing.T) {
	reg := upstreamtest.New(t)
	for _, tag := range []string{"1", "2", "3"} {
		reg.AddImage("a", tag)
	}
	c := newClient(t, reg.Start(t))
	r := upstream.Request{Method: http.MethodGet, Kind: upstream.KindTags, Repository: "a", Query: "n=2"}
	pages := []string{}
	for range 3 {
		resp, body := fetch(t, c, r)
		pages = append(pages, body)
		if r.Query = resp.Next; r.Query == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{`{"name":"a","tags":["1","2"]}`, `{"name":"a","tags":["3"]}`}, pages); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"GET tags a?n=2", "GET tags a?last=2&n=2"}, reg.Requests()); diff != "" {
		t.Error(diff)
	}
}

// TestNext: a next page is followed at the same place only.
func TestNext(t *testing.T) {
	cases := []struct{ name, link, want string }{
		{"relative", `</v2/a/tags/list?last=1>; rel="next"`, "last=1"},
		{"query alone", `<?last=1>; rel=next`, "last=1"},
		{"absolute", `<http://r.example.com/v2/a/tags/list?last=1&x=%20>; rel="next"`, "last=1&x=%20"},
		{"default port", `<http://R.example.com:80/v2/a/tags/list?last=1>; rel="next"`, "last=1"},
		{"bytes that no URL has", `</v2/a/tags/list?last=a b"é>; rel="next"`, "last=a%20b%22%C3%A9"},
		{"another host", `<http://evil.test/v2/a/tags/list?last=1>; rel="next"`, ""},
		{"another path", `</v2/b/tags/list?last=1>; rel="next"`, ""},
		{"another scheme", `<https://r.example.com/v2/a/tags/list?last=1>; rel="next"`, ""},
		{"another relation", `</v2/a/tags/list?last=1>; rel="prev"`, ""},
		{"no query", `</v2/a/tags/list>; rel="next"`, ""},
		{"not a URL", `<http://%zz>; rel="next"`, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddImage("a", "1")
			reg.Fail(nil, upstreamtest.Fault{Header: http.Header{"Link": {tc.link}}})
			n := upstreamtest.NewNetwork(t)
			c := newClient(t, n.Serve("http://r.example.com", reg), on(n))
			resp, _ := fetch(t, c, upstream.Request{Method: http.MethodGet, Kind: upstream.KindTags, Repository: "a"})
			if resp.Next != tc.want {
				t.Errorf("next %q, want %q", resp.Next, tc.want)
			}
		})
	}
}

// FuzzNext: whatever a Link says, the next page is asked for at the same place, by a query
// that can stand in a request and in a Link of ours.
func FuzzNext(f *testing.F) {
	for _, link := range []string{
		`</v2/a/tags/list?last=1>; rel="next"`, `<?last=1&n=2>; rel=next`, `<http://r.example.com/v2/a/tags/list?last=%20#x>; rel="next"`,
		`</b>; rel="prev", </v2/a/tags/list?x=y;z>; title="<>"; REL=next`, `<//evil.test/v2/a/tags/list?last=1>; rel="next"`,
		`<http://r.example.com@evil.test/v2/a/tags/list?last=1>;rel=next`, `<\\evil.test\v2?x>; rel="next"`, `<?a b"c\d|é>; rel=next`, `<?>; rel=next`, `<`, `>;rel=next`,
	} {
		f.Add(link)
	}
	base, err := url.Parse("http://r.example.com")
	if err != nil {
		f.Fatal(err)
	}
	c, err := upstream.New(upstream.Config{Name: "hub", URL: base})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	r := upstream.Request{Method: http.MethodGet, Kind: upstream.KindTags, Repository: "a"}
	f.Fuzz(func(t *testing.T, link string) {
		r.Query = c.NextPage(r, link)
		if strings.ContainsFunc(r.Query, func(ch rune) bool { return ch <= ' ' || ch >= 0x7f || strings.ContainsRune(`<>"#`, ch) }) {
			t.Fatalf("query %q", r.Query)
		}
		u, err := url.Parse(c.URL(r))
		if err != nil || u.Host != "r.example.com" || u.Path != "/v2/a/tags/list" || u.RawQuery != r.Query || u.User != nil {
			t.Errorf("%v leads to %v", err, u)
		}
	})
}

func TestNextLink(t *testing.T) {
	cases := []struct {
		name  string
		lines []string
		want  string
	}{
		{"second of a line", []string{`</a>; rel="prev", </b>; rel="next"`}, "/b"},
		{"second line", []string{`</a>; rel=prev`, `</b>; title=x; REL=next`}, "/b"},
		{"open", []string{`</a; rel="next"`}, ""},
		{"nothing", nil, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := upstream.NextLink(tc.lines...); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestReferrers(t *testing.T) {
	reg := upstreamtest.New(t)
	img := reg.AddImage("a", "1")
	art := reg.AddReferrer("a", "x/sbom", img)
	reg.AddReferrer("a", "x/other", img)
	c := newClient(t, reg.Start(t))
	r := upstream.Request{
		Method: http.MethodGet, Kind: upstream.KindReferrers, Repository: "a", Reference: string(img.Digest),
		Query: "artifactType=x/sbom&predicateType=a&predicateType=b",
	}
	resp, body := fetch(t, c, r)
	if resp.FiltersApplied != "artifactType" || resp.MediaType != ocispec.MediaTypeImageIndex ||
		!strings.Contains(body, string(art.Digest)) || strings.Contains(body, "x/other") {
		t.Errorf("%+v: %s", resp, body)
	}
	want := []string{"GET referrers a@" + upstreamtest.Short(img.Digest) + "?" + r.Query}
	if diff := cmp.Diff(want, reg.Requests()); diff != "" {
		t.Error(diff)
	}
}

func TestETag(t *testing.T) {
	for header, want := range map[string]string{`"a"`: "a", `W/"a"`: "a", "a": "a", "": "", ` "a" `: "a"} {
		if got := upstream.ETag(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

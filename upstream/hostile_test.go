package upstream_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// flood sends up to a GiB and counts what is taken of it.
type flood struct{ taken atomic.Int64 }

func (f *flood) pour(w io.Writer) {
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	for f.taken.Load() < 1<<30 {
		n, err := w.Write(chunk)
		f.taken.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// bomb is 8 MiB in 8 KiB.
func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(make([]byte, 8<<20))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFloods: what is not the content is read as far as it can be of use, whoever sends it,
// and never unpacked. HTTP/1.1, since HTTP/2 has a window of 4 MiB that nobody need read.
func TestFloods(t *testing.T) {
	const challenge = `Bearer realm="http://r.example.com/token",service="r"`
	packed := bomb(t)
	cases := []struct {
		name, path string // path is where the flood comes from
		status     int
		header     http.Header
		want       upstream.Class // 0 is success
		message    string
	}{
		{"not found", "/v2/", 404, nil, upstream.NotHere, "r.example.com: not found"},
		{"error", "/v2/", 500, nil, upstream.Unavailable, "r.example.com: answered 500 Internal Server Error"},
		{"challenge", "/v2/", 401, http.Header{"Www-Authenticate": {challenge}}, upstream.Denied, "r.example.com: repository is missing or private"},
		{"redirect", "/v2/", 307, http.Header{"Location": {"/elsewhere"}}, 0, ""},
		{"token refused", "/token", 403, nil, upstream.Denied, "r.example.com: repository is missing or private"},
		{"token", "/token", 200, nil, upstream.Unavailable, "token service r.example.com: token: answer is larger than allowed"},
		{"token redirected", "/token", 302, http.Header{"Location": {"/other/token"}}, 0, ""},
	}
	for _, tc := range cases {
		for _, unpack := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, packed %t", tc.name, unpack), func(t *testing.T) {
				var f flood
				n := upstreamtest.NewNetwork(t)
				base := n.Serve("http://r.example.com", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					switch {
					case strings.HasPrefix(q.URL.Path, tc.path):
						for k, v := range tc.header {
							w.Header()[k] = v
						}
						if unpack {
							w.Header().Set("Content-Encoding", "gzip")
							w.WriteHeader(tc.status)
							m, _ := w.Write(packed) //nolint:errcheck // it is cut off
							f.taken.Add(int64(m))
							return
						}
						w.WriteHeader(tc.status)
						f.pour(w)
					case q.URL.Path == "/elsewhere", q.Header.Get("Authorization") != "":
						fmt.Fprint(w, "{}")
					case strings.HasSuffix(q.URL.Path, "/token"):
						fmt.Fprint(w, `{"token":"t"}`)
					default:
						w.Header().Set("Www-Authenticate", challenge)
						w.WriteHeader(http.StatusUnauthorized)
					}
				}))
				c := newClient(t, base, on(n))
				if tc.want == 0 {
					fetch(t, c, manifest("a", "1"))
				} else if e := refused(t, c, manifest("a", "1")); e.Class != tc.want || !strings.HasPrefix(e.Message, tc.message) && !unpack {
					t.Errorf("%v: %s", e.Class, e.Message)
				}
				if taken := f.taken.Load(); taken == 0 || taken > 1<<20 {
					t.Errorf("%d bytes were taken", taken)
				}
			})
		}
	}
}

// TestRedirectRebinding: a host that a redirect leads to is looked up once for each
// connection, and what was looked up is what is checked and dialled.
func TestRedirectRebinding(t *testing.T) {
	h := &hops{to: map[string]string{"r.example.com/v2/a/manifests/1": "https://cdn.test/x"}}
	n := upstreamtest.NewNetwork(t)
	n.Resolve("cdn.test", "5.6.7.8")
	n.Serve("https://cdn.test", h)
	for _, later := range []string{"127.0.0.1", "169.254.169.254", "::1"} {
		n.Resolve("cdn.test", later)
	}
	base := n.Serve("https://r.example.com", h)
	var got []string
	for range 4 {
		c := newClient(t, base, on(n), withLogin) // without the connections of the last
		resp, err := c.Do(t.Context(), manifest("a", "1"))
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		read(t, resp)
		got = append(got, "ok")
	}
	const refusal = "upstream hub: GET manifest a:1: r.example.com: host cdn.test is at "
	want := []string{
		"ok",
		refusal + "127.0.0.1, a private address; set private for upstream hub if that is meant",
		refusal + "169.254.169.254, a link-local or metadata address",
		refusal + "::1, a private address; set private for upstream hub if that is meant",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, addr := range n.Dialled() {
		if !strings.HasPrefix(addr, "5.") {
			t.Errorf("dialled %s", addr)
		}
	}
}

package upstreamtest_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestFaults(t *testing.T) {
	cases := []struct {
		name   string
		fault  upstreamtest.Fault
		want   string
		header map[string]string
	}{
		{"none", upstreamtest.Fault{}, "200 0123456789", map[string]string{"Content-Type": "application/octet-stream"}},
		{"status", upstreamtest.Fault{Status: 503, Body: []byte("ill")}, "503 ill", nil},
		{"header", upstreamtest.Fault{Header: http.Header{"Content-Type": nil, "X": {"1"}}}, "200 0123456789", map[string]string{"X": "1"}},
		{"redirect", upstreamtest.Fault{Redirect: "http://x.test/y"}, "307", map[string]string{"Location": "http://x.test/y"}},
		{"media type", upstreamtest.Fault{MediaType: "a/b"}, "200 0123456789", map[string]string{"Content-Type": "a/b"}},
		{"digest", upstreamtest.Fault{Digest: "x"}, "200 0123456789", map[string]string{"Docker-Content-Digest": "x"}},
		{"no digest", upstreamtest.Fault{Digest: "-"}, "200 0123456789", map[string]string{"Docker-Content-Digest": ""}},
		{"corrupt", upstreamtest.Fault{Corrupt: true}, "200 \xcf123456789", nil},
		{"cut", upstreamtest.Fault{CutAfter: 3}, "200 012 broken", nil},
		{"cut before the header", upstreamtest.Fault{CutAfter: -1}, "broken", nil},
		{"claims more", upstreamtest.Fault{Length: 12}, "200 0123456789 broken", nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			d := reg.AddBlob("a", []byte("0123456789"))
			reg.Fail(upstreamtest.On("GET blob a"), tc.fault)
			got, h := ask(t, newHTTP(t), "GET "+reg.Start(t)+"/v2/a/blobs/"+string(d))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			for key, want := range tc.header {
				if h.Get(key) != want {
					t.Errorf("%s: %q, want %q", key, h.Get(key), want)
				}
			}
		})
	}
}

func TestFaultTimes(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.Fail(nil, upstreamtest.Fault{Status: 500, Times: 1})
	reg.Fail(upstreamtest.On("GET other"), upstreamtest.Fault{Status: 502, Times: 1})
	reg.Fail(upstreamtest.On("GET token"), upstreamtest.Fault{Status: 503})
	base, client := reg.Start(t), newHTTP(t)
	got := []string{}
	for range 3 {
		status, _ := ask(t, client, "GET "+base+"/v2/")
		got = append(got, status[:3])
	}
	status, _ := ask(t, client, "GET "+base+"/token")
	reg.Mend()
	mended, _ := ask(t, client, "GET "+base+"/token")
	got = append(got, status[:3], mended[:3])
	if diff := cmp.Diff([]string{"500", "502", "200", "503", "200"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaultStalls(t *testing.T) {
	for name, after := range map[string]int64{"before the header": -1, "before the body": 0, "within": 4, "at the end": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := upstreamtest.New(t)
				d := reg.AddBlob("a", []byte("0123456789"))
				release := make(chan struct{})
				reg.Fail(nil, upstreamtest.Fault{StallAfter: after, Release: release})
				n := upstreamtest.NewNetwork(t)
				n.Serve("http://r.test", reg)
				time.AfterFunc(time.Minute, func() { close(release) })
				began := time.Now()
				got, _ := ask(t, network(t, n), "GET http://r.test/v2/a/blobs/"+string(d))
				// A client that has the whole length does not wait for the handler to end.
				want := time.Minute
				if after == 10 {
					want = 0
				}
				if took := time.Since(began); got != "200 0123456789" || took != want {
					t.Errorf("%s after %v", got, took)
				}
			})
		})
	}
}

func network(t *testing.T, n *upstreamtest.Network) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: n.DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := upstreamtest.NewNetwork(t)
		n.Serve("http://r.test", upstreamtest.New(t))
		n.Resolve("b.test", "1.1.1.1", "::1")
		n.Resolve("b.test", "2.2.2.2")
		got := []string{}
		for _, host := range []string{"r.test", "b.test", "b.test", "b.test", "c.test"} {
			addrs, err := n.LookupNetIP(t.Context(), "ip", host)
			line := host
			for _, a := range addrs {
				line += " " + a.String()
			}
			if err != nil {
				line += " " + err.Error()
			}
			got = append(got, line)
		}
		want := []string{
			"r.test 5.5.5.1", "b.test 1.1.1.1 ::1", "b.test 2.2.2.2", "b.test 2.2.2.2", "c.test lookup c.test: no such host",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		conn, err := n.DialContext(t.Context(), "tcp", "5.5.5.1:80")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got := strings.Join(n.Dialled(), " "); got != "5.5.5.1:80" {
			t.Errorf("dialled %s", got)
		}
	})
}

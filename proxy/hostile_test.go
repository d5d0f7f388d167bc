package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// A portal that answers 200 to everything proves nothing about what is held for others.
func TestPortalDoesNotOpenWhatIsHeld(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "private"}, {name: "portal"}}})
	image := r.hubs["private"].AddImage("secret", "1", []byte("layer"))
	r.pulled(manifestPath("private.test/secret", "1"), image.Manifest)
	r.pulled(blobPath("private.test/secret", image.Layers[0]), []byte("layer"))
	portal := r.hubs["portal"]
	for name, fault := range map[string]upstreamtest.Fault{
		"a web page":                   {Status: 200, Body: []byte("<html>hello</html>"), MediaType: "text/html"},
		"a page of the right length":   {Status: 200, Body: []byte("<html>"[:5]), MediaType: "text/html"},
		"the wrong length":             {Status: 200, Body: []byte("hello world"), MediaType: "application/octet-stream"},
		"the right type, other length": {Status: 200, Body: []byte("{}"), MediaType: image.MediaType},
	} {
		t.Run(name, func(t *testing.T) {
			portal.Mend()
			portal.Fail(nil, fault)
			for _, path := range []string{
				manifestPath("portal.test/anything", image.Digest.String()), blobPath("portal.test/anything", image.Layers[0]),
			} {
				if a := r.get(path); a.StatusCode == http.StatusOK {
					t.Errorf("GET %s: %s\n%s", path, a.Status, a.body)
				}
			}
		})
	}
}

// wire sends a request over TCP, says no more if half is set, and returns all of the answer.
func (r *rig) wire(request string, half bool) string {
	r.tb.Helper()
	l, err := new(net.ListenConfig).Listen(r.tb.Context(), "tcp", "127.0.0.1:0")
	check(r.tb, err)
	s := &http.Server{Handler: r}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() {
		check(r.tb, s.Close())
		<-served
	}()
	conn, err := new(net.Dialer).DialContext(r.tb.Context(), "tcp", l.Addr().String())
	check(r.tb, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	check(r.tb, err)
	if tcp, ok := conn.(*net.TCPConn); ok && half {
		check(r.tb, tcp.CloseWrite())
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Sprintf("%s (%v)", answer, err)
	}
	return string(answer)
}

// A client that has said all it will say is taken for gone; it must not get an empty 200.
func TestClientThatOnlyHalfLeftGetsNoEmptyAnswer(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	r.hubs["hub"].AddImage("app", "1", []byte("layer"))
	release := make(chan struct{})
	defer close(release)
	r.hubs["hub"].Fail(nil, upstreamtest.Fault{Release: release, StallAfter: -1})
	if got := r.wire("GET /v2/app/manifests/1 HTTP/1.1\r\nHost: berth.test\r\n\r\n", true); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}

// HTTP/1.0 has no chunks: a body whose end is that of the connection looks whole however
// it ended, so it must not begin before it is known to be right.
func TestOldClientGetsNoUnverifiedBody(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	content := []byte(strings.Repeat("x", 200_000))
	d := r.hubs["hub"].AddBlob("app", content)
	request := "GET " + blobPath("app", d) + " HTTP/1.0\r\nHost: berth.test\r\n\r\n"
	unknown := http.Header{"Content-Length": nil}
	r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Header: unknown, Corrupt: true})
	if got := r.wire(request, false); !strings.HasPrefix(got, "HTTP/1.0 503 ") || !strings.Contains(got, "bytes are not what was asked for") {
		t.Errorf("wrong bytes: %q, want 503 that says so", got)
	}
	r.hubs["hub"].Mend()
	r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Header: unknown})
	got := r.wire(request, false)
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.0 200 ") || body != string(content) {
		t.Errorf("right bytes: %q and %d bytes", head, len(body))
	}
}

// What may be cut off cannot go out over HTTP/1.0 without a size: who asks hears that, and
// nothing of the upstream, whose bytes are good. With a size it can.
func TestUnstoredOldClient(t *testing.T) {
	var writes atomic.Int64
	midway := func(op string) (bool, error) {
		if op == "write" && writes.Add(1) > 1 {
			return false, syscall.ENOSPC
		}
		return true, nil
	}
	full := failing(syscall.ENOSPC, "stage")
	for name, test := range map[string]struct {
		fault func(op string) (bool, error)
		want  []string
	}{
		"passed on":     {full, []string{"HTTP/1.0 503 ", "cannot be kept", "HTTP/1.1"}},
		"broken midway": {midway, []string{"HTTP/1.0 503 ", "cannot be kept", "HTTP/1.1"}},
		"size told":     {full, []string{"HTTP/1.0 200 "}},
	} {
		t.Run(name, func(t *testing.T) {
			r, sick := sickRig(t, plan{})
			sick.become(test.fault)
			layer := strings.Repeat("x", 200_000)
			d := r.hubs["hub"].AddBlob("app", []byte(layer))
			if len(test.want) > 1 {
				r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Header: http.Header{"Content-Length": nil}})
			}
			got := r.wire("GET "+blobPath("app", d)+" HTTP/1.0\r\nHost: berth.test\r\n\r\n", false)
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in %.600q", want, got)
				}
			}
			if whole := strings.HasSuffix(got, layer); whole != (len(test.want) == 1) {
				t.Errorf("whole: %t", whole)
			}
		})
	}
}

// A blob of unknown size that breaks off again and again is not said to have wrong bytes.
func TestRangeOfWhatBreaksOff(t *testing.T) {
	timeless(t, "breaks off", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		d := r.hubs["hub"].AddBlob("app", noise(1, 300_000))
		r.hubs["hub"].IgnoreRanges(true) // whose answers tell the size
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Header: http.Header{"Content-Length": nil}, CutAfter: 1000})
		a := r.do("GET", blobPath("app", d), "Range", "bytes=200000-")
		if a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "broke it off too often") {
			t.Errorf("%s: %s", a.Status, a.body)
		}
	})
}

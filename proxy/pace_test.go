package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const shortStall = 5 * time.Second

func stallsSoon(o *proxy.Options) { o.WriteStall = shortStall }

// overHTTP2 makes the rig's client speak HTTP/2, to https://berth.test.
func (r *rig) overHTTP2() {
	r.tb.Helper()
	const base = "https://berth.test"
	r.network.Serve(base, r)
	transport := &http.Transport{
		DisableCompression: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: r.network.Roots()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			addrs, err := r.network.LookupNetIP(ctx, "ip", "berth.test")
			if err != nil {
				return nil, err
			}
			return r.network.DialContext(ctx, network, addrs[0].String()+":443")
		},
	}
	r.tb.Cleanup(transport.CloseIdleConnections)
	r.client = &http.Client{Transport: toTLS{transport}}
}

// toTLS sends what is for http://berth.test to https://berth.test.
type toTLS struct{ http.RoundTripper }

func (t toTLS) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.URL.Scheme = "https"
	return t.RoundTripper.RoundTrip(q)
}

// Who takes what there is has not stalled, however long the upstream does.
func TestUpstreamThatStallsIsNotTheClientsFault(t *testing.T) {
	for name, test := range map[string]struct{ kept, http2 bool }{
		"kept": {true, false}, "passed through": {false, false},
		"kept, HTTP/2": {true, true}, "passed through, HTTP/2": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, sick := sickRig(t, plan{options: stallsSoon})
				proto := 1
				if test.http2 {
					r.overHTTP2()
					proto = 2
				}
				if !test.kept {
					sick.become(failing(syscall.ENOSPC, "stage"))
				}
				layer := noise(1, 500_000)
				d := r.hubs["hub"].AddBlob("app", layer)
				release := make(chan struct{})
				r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 300_000})
				time.AfterFunc(2*shortStall, func() { close(release) })
				a := r.pulled(blobPath("app", d), layer)
				if a.ProtoMajor != proto {
					t.Errorf("answered over %s", a.Proto)
				}
			})
		})
	}
}

func TestStreamThatTakesNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}, options: stallsSoon})
		r.overHTTP2()
		layer := noise(1, 8*mib) // more than a client of net/http lets come unread
		d := r.hubs["hub"].AddBlob("app", layer)
		stuck, err := r.open(blobPath("app", d))
		check(t, err)
		defer stuck.Body.Close()
		time.Sleep(3 * shortStall)
		if got, err := io.ReadAll(stuck.Body); err == nil {
			t.Errorf("a client that took nothing for longer than the stall still got all %d bytes", len(got))
		}
		r.pulled(blobPath("app", d), layer)
	})
}

// The server ends a body without a length behind the handler's back.
func TestClientThatDoesNotTakeTheEndIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sick := sickRig(t, plan{options: stallsSoon})
		sick.become(failing(syscall.ENOSPC, "stage"))
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Header: http.Header{"Content-Length": nil}})
		layer := noise(1, 100_000)
		conn := r.dial()
		_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: berth.test\r\n\r\n", blobPath("app", r.hubs["hub"].AddBlob("app", layer)))
		check(t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		check(t, err)
		defer response.Body.Close()
		got := make([]byte, len(layer))
		if _, err := io.ReadFull(response.Body, got); err != nil || !bytes.Equal(got, layer) || response.ContentLength != -1 {
			t.Fatalf("%v, length %d: %v", err, response.ContentLength, bytes.Equal(got, layer))
		}
		time.Sleep(shortStall)
		synctest.Wait()
		if n, err := conn.Read(make([]byte, 16)); !errors.Is(err, io.EOF) {
			t.Errorf("read %d bytes, %v; want a closed connection", n, err)
		}
		check(t, conn.Close()) // or closing the body waits for its end
	})
}

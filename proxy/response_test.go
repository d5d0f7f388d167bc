package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/server"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const mib = 1 << 20

// spy is a ResponseWriter that writes down what is done to it.
type spy struct {
	http.ResponseWriter

	mu   sync.Mutex // guards did
	did  []string
	body bytes.Buffer
}

func (s *spy) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, fmt.Sprintf(format, args...))
}

func (s *spy) Write(p []byte) (int, error) {
	s.note("write %d", len(p))
	return s.body.Write(p)
}

func (s *spy) ReadFrom(src io.Reader) (int64, error) {
	what := fmt.Sprintf("%T", src)
	if l, ok := src.(*io.LimitedReader); ok {
		what = fmt.Sprintf("%d of %T", l.N, l.R)
	}
	s.note("send %s", what)
	return s.body.ReadFrom(src)
}

func (s *spy) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		s.note("no deadline")
	} else {
		s.note("deadline in %s", time.Until(t))
	}
	return nil
}

func (s *spy) Flush() { s.note("flush") }

// spied serves one request of the rig into a spy.
func (r *rig) spied(method, path string, header ...string) *spy {
	r.tb.Helper()
	q := httptest.NewRequest(method, berthURL+path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	s := &spy{ResponseWriter: httptest.NewRecorder()}
	r.ServeHTTP(s, q)
	return s
}

// The kernel sends a file's bytes only if net/http is handed the file, in one
// io.LimitedReader at most.
func TestFilesAreHandedToTheKernelInStretchesWithADeadlineEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		image := r.hubs["hub"].AddImage("app", "1", noise(1, 5*mib), []byte("small"))
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.blobsOf("app", "", image)
		synctest.Wait()
		for name, test := range map[string]struct {
			method, path, ask string
			want              []string
		}{
			"whole blob": {"GET", blobPath("app", image.Layers[0]), "", []string{
				"deadline in 1m0s", "send 2097152 of server.Impatient",
				"deadline in 1m0s", "send 2097152 of server.Impatient",
				"deadline in 1m0s", "send 1048576 of server.Impatient",
			}},
			"range": {"GET", blobPath("app", image.Layers[0]), "bytes=10-2097171", []string{
				"deadline in 1m0s", "send 2097152 of server.Impatient",
				"deadline in 1m0s", "send 10 of server.Impatient",
			}},
			"small blob": {"GET", blobPath("app", image.Layers[1]), "", []string{"deadline in 1m0s", "write 5"}},
			"manifest": {"GET", manifestPath("app", "1"), "", []string{
				"deadline in 1m0s", fmt.Sprintf("write %d", len(image.Manifest)),
			}},
			"HEAD": {"HEAD", manifestPath("app", "1"), "", []string{"deadline in 1m0s"}},
		} {
			var header []string
			if test.ask != "" {
				header = []string{"Range", test.ask}
			}
			want := append(test.want, "flush")
			if diff := cmp.Diff(want, r.spied(test.method, test.path, header...).did); diff != "" {
				t.Errorf("%s: done to the connection (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestFilesAreHandedToTheKernelWhileTheyArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		layer := noise(1, mib)
		d := r.hubs["hub"].AddBlob("app", layer)
		release := make(chan struct{})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: mib / 2})
		var s *spy
		letGo(release, func() { s = r.spied("GET", blobPath("app", d)) })
		if !bytes.Equal(s.body.Bytes(), layer) {
			t.Errorf("%d bytes of %d", s.body.Len(), len(layer))
		}
		for _, did := range s.did {
			var n int
			if _, err := fmt.Sscanf(did, "send %d of "+fmt.Sprintf("%T", server.Impatient{}), &n); err != nil &&
				did != "deadline in 1m0s" && did != "flush" {
				t.Errorf("the bytes went another way: %s", did)
			}
		}
	})
}

func TestIdleConnectionOutlivesTheWriteStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		image := r.hubs["hub"].AddImage("app", "1", noise(1, 100_000))
		for _, path := range []string{manifestPath("app", "1"), blobPath("app", image.Layers[0]), "/v2/none/manifests/1"} {
			for _, method := range []string{"GET", "HEAD", "GET"} {
				var reused bool
				trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
				q, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), method, berthURL+path, http.NoBody)
				check(t, err)
				response, err := r.client.Do(q)
				check(t, err)
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Errorf("%s %s: %v", method, path, err)
				}
				check(t, response.Body.Close())
				if first := path == manifestPath("app", "1") && method == "GET"; !reused && !first {
					t.Errorf("%s %s needed another connection", method, path)
				}
				time.Sleep(10 * time.Minute)
			}
		}
	})
}

// dial connects to the rig's Berth for a client that the test plays itself.
func (r *rig) dial() net.Conn {
	r.tb.Helper()
	addrs, err := r.network.LookupNetIP(context.Background(), "ip", "berth.test")
	check(r.tb, err)
	conn, err := r.network.DialContext(context.Background(), "tcp", addrs[0].String()+":80")
	check(r.tb, err)
	return conn
}

func TestClientThatTakesNothingIsGivenUp(t *testing.T) {
	const stall = 20 * time.Second
	for name, ask := range map[string]func(r *rig, image upstreamtest.Image) string{
		"blob":     func(_ *rig, i upstreamtest.Image) string { return "GET " + blobPath("app", i.Layers[0]) },
		"small":    func(_ *rig, i upstreamtest.Image) string { return "GET " + blobPath("app", i.Config) },
		"manifest": func(*rig, upstreamtest.Image) string { return "GET " + manifestPath("app", "1") },
		"HEAD":     func(*rig, upstreamtest.Image) string { return "HEAD " + manifestPath("app", "1") },
		"error":    func(*rig, upstreamtest.Image) string { return "GET /v2/none/manifests/1" },
		"ping":     func(*rig, upstreamtest.Image) string { return "GET /v2/" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{
					upstreams: []far{{name: "hub"}},
					options:   func(o *proxy.Options) { o.WriteStall = stall },
				})
				image := r.hubs["hub"].AddImage("app", "1", noise(1, 100_000))
				r.pulled(manifestPath("app", "1"), image.Manifest)
				r.blobsOf("app", "", image)
				conn := r.dial()
				defer conn.Close()
				_, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: berth.test\r\n\r\n", ask(r, image))
				check(t, err)
				// The pipe holds no byte: nothing has gone out when the client takes nothing.
				time.Sleep(stall - time.Nanosecond)
				synctest.Wait()
				check(t, conn.SetReadDeadline(time.Now()))
				if n, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
					t.Fatalf("read %d bytes, %v: given up too early, or not stalled", n, err)
				}
				check(t, conn.SetReadDeadline(time.Time{}))
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("read %d bytes, %v; want a closed connection", n, err)
				}
			})
		})
	}
}

func TestFillOutlivesAClientThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{
			upstreams: []far{{name: "hub"}},
			options:   func(o *proxy.Options) { o.WriteStall = 5 * time.Second },
		})
		layer := noise(1, 500_000)
		d := r.hubs["hub"].AddBlob("app", layer)
		release := make(chan struct{})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 300_000})
		stuck, err := r.open(blobPath("app", d))
		check(t, err)
		defer stuck.Body.Close()
		time.Sleep(10 * time.Second)
		got, err := io.ReadAll(stuck.Body)
		if err == nil {
			t.Errorf("a client that took nothing for longer than the stall still got all %d bytes", len(got))
		}
		close(release)
		synctest.Wait()
		r.asked("hub", "GET blob app@"+short(d))
		r.hubs["hub"].Stop()
		r.pulled(blobPath("app", d), layer)
	})
}

// net/http reads several ranges in a goroutine of its own, which outlives the copying.
func TestClientLeavesWhileSeveralRangesArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		layer := noise(1, 500_000)
		d := r.hubs["hub"].AddBlob("app", layer)
		release := make(chan struct{})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 300_000})
		for _, n := range []int{1, 60_000, 135_000} {
			response, err := r.open(blobPath("app", d), "Range", "bytes=0-99999,250000-399999")
			check(t, err)
			_, err = io.ReadFull(response.Body, make([]byte, n))
			check(t, err)
			check(t, response.Body.Close())
			synctest.Wait()
		}
		close(release)
		synctest.Wait()
		r.pulled(blobPath("app", d), layer)
		r.asked("hub", "GET blob app@"+short(d))
	})
}

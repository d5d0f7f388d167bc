package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/berth-cache/berth/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener in memory, whose connections fail as a test wants it.
type pipes struct {
	incoming chan net.Conn
	failing  chan error // taken before connections
	closed   chan struct{}
	once     sync.Once
}

func newPipes() *pipes {
	return &pipes{incoming: make(chan net.Conn), failing: make(chan error, 16), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case err := <-p.failing:
		return nil, err
	default:
	}
	select {
	case err := <-p.failing:
		return nil, err
	case c := <-p.incoming:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// DialContext waits until the connection is accepted, as a queue of length 0 would.
func (p *pipes) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.incoming <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rig is a server on a listener in memory.
type rig struct {
	*server.Server
	*pipes
	client  *http.Client
	metrics *prometheus.Registry
	ended   chan error // what Serve returned

	mu  sync.Mutex // guards log
	log bytes.Buffer
}

// Write implements io.Writer, for the log.
func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// logged counts the lines of the log that hold text.
func (r *rig) logged(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

// newRig starts a server that ends with the test.
func newRig(t *testing.T, o server.Options) *rig {
	t.Helper()
	r := &rig{pipes: newPipes(), metrics: prometheus.NewRegistry(), ended: make(chan error, 1)}
	o.Logger = slog.New(slog.NewTextHandler(r, nil))
	o.Metrics = server.NewMetrics(r.metrics)
	if o.Handler == nil {
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	}
	r.Server = server.New(o)
	transport := &http.Transport{DialContext: r.DialContext, MaxIdleConnsPerHost: 100}
	r.client = &http.Client{Transport: transport}
	go func() { r.ended <- r.Serve(r.pipes) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := r.Server.Close(); err != nil {
			t.Error(err)
		}
		r.pipes.Close()
		if err := <-r.ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		time.Sleep(time.Second) // of the bubble: net/http waits for clients to read why they were refused
	})
	return r
}

// get returns the status and body of a request, or its error.
func (r *rig) get(path string) (int, string, error) {
	response, err := r.client.Get("http://berth.test" + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func (r *rig) wantFine(t *testing.T, path string) {
	t.Helper()
	if status, body, err := r.get(path); status != 200 || body != "fine" || err != nil {
		t.Errorf("GET %s: %d %q, %v", path, status, body, err)
	}
}

// dial opens a connection by hand.
func (r *rig) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := r.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// keepAlive opens a connection and has one request answered on it.
func (r *rig) keepAlive(t *testing.T) net.Conn {
	t.Helper()
	c := r.dial(t)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: berth.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	return c
}

// alive tells whether the server has left a connection open.
func alive(c net.Conn) bool {
	result := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		result <- err
	}()
	synctest.Wait()
	select {
	case err := <-result:
		return err == nil
	default:
		return true
	}
}

// metric is the value of a gauge or counter, e.g. "berth_connections" with "idle".
func (r *rig) metric(t *testing.T, name, state string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name || state != "" && m.GetLabel()[0].GetValue() != state {
				continue
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no %s %s", name, state)
	return 0
}

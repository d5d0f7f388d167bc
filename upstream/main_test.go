package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	user     = "jo"
	password = "s3cr3t-Pa55"
)

// newClient returns a Client for base that reaches loopback alone and is closed with t.
func newClient(t *testing.T, base string, change ...func(*upstream.Config)) *upstream.Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	cfg := upstream.Config{
		Name: "hub", URL: u, Private: true,
		Proxy:       func(*http.Request) (*url.URL, error) { return nil, nil },
		DialContext: dialLoopback,
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := upstream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// tryClient returns the error of making a Client.
func tryClient(t *testing.T, base string, change func(*upstream.Config)) error {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	cfg := upstream.Config{Name: "hub", URL: u}
	change(&cfg)
	c, err := upstream.New(cfg)
	if err == nil {
		c.Close()
	}
	return err
}

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// dialLoopback keeps tests from the network.
func dialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	if ap, err := netip.ParseAddrPort(addr); err != nil || !ap.Addr().IsLoopback() {
		return nil, fmt.Errorf("test dialled %s", addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// on makes a Client live in an in-memory network, as one of the public internet.
func on(n *upstreamtest.Network) func(*upstream.Config) {
	return func(cfg *upstream.Config) {
		cfg.Private, cfg.Resolver, cfg.DialContext, cfg.RootCAs = false, n, n.DialContext, n.Roots()
	}
}

func withLogin(cfg *upstream.Config) {
	cfg.Credentials = append(cfg.Credentials, upstream.Password(user, password))
}

func manifest(repo, reference string) upstream.Request {
	return upstream.Request{Method: http.MethodGet, Kind: upstream.KindManifest, Repository: repo, Reference: reference}
}

func head(repo, reference string) upstream.Request {
	r := manifest(repo, reference)
	r.Method = http.MethodHead
	return r
}

func blob(repo, reference string, offset int64) upstream.Request {
	return upstream.Request{
		Method: http.MethodGet, Kind: upstream.KindBlob, Repository: repo, Reference: reference, Offset: offset,
	}
}

// fetch asks and reads the body to its end.
func fetch(t *testing.T, c *upstream.Client, r upstream.Request) (*upstream.Response, string) {
	t.Helper()
	resp, err := c.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return resp, read(t, resp)
}

func read(t *testing.T, resp *upstream.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// refused asks and returns the error, which it must get.
func refused(t *testing.T, c *upstream.Client, r upstream.Request) *upstream.Error {
	t.Helper()
	resp, err := c.Do(t.Context(), r)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("%v answered %d", r, resp.Status)
	}
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		t.Fatalf("error %T is no *upstream.Error: %v", err, err)
	}
	return e
}

package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestReach(t *testing.T) {
	cases := []struct{ addr, want string }{
		{"8.8.8.8", "public"},
		{"2606:4700::1", "public"},
		{"::ffff:8.8.8.8", "public"},
		{"64:ff9b::8.8.8.8", "public"},
		{"127.0.0.1", "private"},
		{"127.255.0.9", "private"},
		{"::1", "private"},
		{"::", "private"},
		{"0.0.0.0", "private"},
		{"0.1.2.3", "private"},
		{"10.0.0.1", "private"},
		{"172.16.0.1", "private"},
		{"172.32.0.1", "public"},
		{"192.168.1.1", "private"},
		{"100.64.0.1", "private"},
		{"100.128.0.1", "public"},
		{"fd12::1", "private"},
		{"fec0::1", "private"},
		{"224.0.0.1", "private"},
		{"255.255.255.255", "private"},
		{"ff02::1", "private"},
		{"192.0.2.1", "private"},
		{"198.18.0.1", "private"},
		{"198.51.100.1", "private"},
		{"203.0.113.1", "private"},
		{"2001:db8::1", "private"},
		{"::ffff:10.0.0.1", "private"},
		{"::10.0.0.1", "private"},
		{"64:ff9b::10.0.0.1", "private"},
		{"64:ff9b:1::8.8.8.8", "private"},
		{"2002:0a00:0001::1", "private"},
		{"2002:0808:0808::1", "public"},
		{"::ffff:0:10.0.0.1", "private"},
		{"169.254.169.254", "never"},
		{"169.254.0.1", "never"},
		{"fe80::1", "never"},
		{"fe80::1%eth0", "never"},
		{"febf::1", "never"},
		{"fd00:ec2::254", "never"},
		{"100.100.100.200", "never"},
		{"168.63.129.16", "never"},
		{"::ffff:169.254.169.254", "never"},
		{"64:ff9b::169.254.169.254", "never"},
		{"64:ff9b:1::169.254.169.254", "never"},
		{"2002:a9fe:a9fe::1", "never"},
		{"2001:0:1::5601:5601", "never"}, // Teredo, inverted
	}
	for _, tc := range cases {
		t.Run(tc.addr, func(t *testing.T) {
			if got := upstream.Reach(tc.addr); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestOddNumber(t *testing.T) {
	for host, want := range map[string]bool{
		"127.1": true, "2130706433": true, "0x7f.0.0.1": true, "0x7f000001": true, "a.0x1": true, "127.1.": true,
		"127.0.0.1": false, "::1": false, "r.example.com": false, "0xg": false, "a1": false, "": false,
	} {
		if got := upstream.OddNumber(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

// TestDialled checks what is dialled for a name, whatever it resolves to.
func TestDialled(t *testing.T) {
	cases := []struct {
		name    string
		addrs   []string
		private bool
		want    []string // dialled
	}{
		{"public", []string{"5.6.7.8"}, false, []string{"5.6.7.8:80"}},
		{"private", []string{"10.0.0.1"}, false, nil},
		{"private and meant", []string{"10.0.0.1"}, true, []string{"10.0.0.1:80"}},
		{"private beside public", []string{"10.0.0.1", "5.6.7.8"}, false, []string{"5.6.7.8:80"}},
		{"mapped", []string{"::ffff:5.6.7.8"}, false, []string{"5.6.7.8:80"}},
		{"link-local though private is meant", []string{"169.254.169.254"}, true, nil},
		{"nothing", []string{}, false, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddImage("a", "1")
			n := upstreamtest.NewNetwork(t)
			n.Resolve("r.example.com", tc.addrs...)
			for _, addr := range tc.addrs {
				n.Serve((&url.URL{Scheme: "http", Host: net.JoinHostPort(addr, "80")}).String(), reg)
			}
			n.Serve("http://5.6.7.8", reg)
			c := newClient(t, "http://r.example.com", on(n), func(cfg *upstream.Config) { cfg.Private = tc.private })
			if resp, err := c.Do(t.Context(), manifest("a", "1")); err == nil {
				resp.Body.Close()
			} else if tc.want != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tc.want, n.Dialled()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRebinding: a name server that answers otherwise the second time changes nothing,
// since the address that was checked is the one that is dialled.
func TestRebinding(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.AddImage("a", "1")
	n := upstreamtest.NewNetwork(t)
	n.Resolve("r.example.com", "5.6.7.8")
	n.Resolve("r.example.com", "127.0.0.1")
	n.Serve("http://5.6.7.8", reg)
	n.Serve("http://127.0.0.1", reg)
	c := newClient(t, "http://r.example.com", on(n))
	fetch(t, c, manifest("a", "1"))
	c.Close() // the next request needs a new connection
	other := newClient(t, "http://r.example.com", on(n))
	if e := refused(t, other, manifest("a", "1")); e.Class != upstream.Unavailable {
		t.Error(e)
	}
	if diff := cmp.Diff([]string{"5.6.7.8:80"}, n.Dialled()); diff != "" {
		t.Error(diff)
	}
}

// TestSlowAddress: an address that does not answer costs the head start of the next one.
func TestSlowAddress(t *testing.T) {
	cases := []struct {
		name  string
		addrs []string
		want  time.Duration
	}{
		{"first answers", []string{"5.6.7.8", "5.0.0.1"}, 0},
		{"first is silent", []string{"5.0.0.1", "5.6.7.8"}, 300 * time.Millisecond},
		{"first two are silent", []string{"5.0.0.1", "5.0.0.2", "5.6.7.8"}, 600 * time.Millisecond},
		{"first refuses", []string{"6.0.0.1", "5.6.7.8"}, 0},
		{"all are silent", []string{"5.0.0.1", "5.0.0.2"}, 10 * time.Second},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := upstreamtest.New(t)
				reg.AddImage("a", "1")
				n := upstreamtest.NewNetwork(t)
				n.Resolve("r.example.com", tc.addrs...)
				n.Serve("http://5.6.7.8", reg)
				c := newClient(t, "http://r.example.com", on(n), func(cfg *upstream.Config) {
					cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
						if addr == "6.0.0.1:80" {
							return nil, errors.New("refused")
						}
						return n.DialContext(ctx, network, addr)
					}
				})
				began := time.Now()
				resp, err := c.Do(t.Context(), manifest("a", "1"))
				if err == nil {
					resp.Body.Close()
				}
				if ok := slices.Contains(tc.addrs, "5.6.7.8"); ok != (err == nil) {
					t.Error(err)
				}
				if got := time.Since(began); got != tc.want {
					t.Errorf("took %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// TestEgressProxy: the proxy is dialled as it is, the targets behind it are checked as far
// as they can be.
func TestEgressProxy(t *testing.T) {
	cases := []struct {
		name, target string // of a redirect; empty is none
		message      string // empty is success
	}{
		{"own host", "", ""},
		{"public name", "http://cdn.test/x", ""},
		{"private address", "http://10.0.0.1/x", "r.test: host 10.0.0.1 is a private address; set private for upstream hub if that is meant"},
		{"metadata", "http://169.254.169.254/x", "r.test: host 169.254.169.254 is a link-local or metadata address"},
		{"localhost", "http://localhost/x", "r.test: host localhost is a private address; set private for upstream hub if that is meant"},
		{"odd number", "http://2130706433/x", "r.test: host 2130706433 is a private address; set private for upstream hub if that is meant"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var asked []string
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				asked = append(asked, q.RequestURI)
				if tc.target != "" && q.Host == "r.test" {
					http.Redirect(w, q, tc.target, http.StatusTemporaryRedirect)
				}
			}))
			t.Cleanup(proxy.Close)
			proxyURL, err := url.Parse(proxy.URL)
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, "http://r.test", func(cfg *upstream.Config) {
				cfg.Private = false
				cfg.Proxy = http.ProxyURL(proxyURL)
			})
			want := []string{"http://r.test/v2/a/manifests/1"}
			if tc.message != "" {
				if e := refused(t, c, manifest("a", "1")); e.Message != tc.message {
					t.Errorf("message %s", e.Message)
				}
			} else {
				fetch(t, c, manifest("a", "1"))
				if tc.target != "" {
					want = append(want, tc.target)
				}
			}
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestProxyIsNoTarget: that the proxy may be dialled does not open it to redirects.
func TestProxyIsNoTarget(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, "http://"+q.Context().Value(http.LocalAddrContextKey).(net.Addr).String(), http.StatusFound)
	}))
	t.Cleanup(proxy.Close)
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, "http://r.test", func(cfg *upstream.Config) {
		cfg.Private = false
		cfg.Proxy = func(q *http.Request) (*url.URL, error) {
			if q.URL.Hostname() == "127.0.0.1" { // as with NO_PROXY
				return nil, nil
			}
			return proxyURL, nil
		}
	})
	if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Unavailable || e.Status != 0 {
		t.Error(e)
	}
}

// TestFailedConnections has the words for each way to get no answer.
func TestFailedConnections(t *testing.T) {
	fail := func(err error) func(*upstream.Config) {
		return func(cfg *upstream.Config) {
			cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
			}
		}
	}
	through := func(proxy string) func(*upstream.Config) {
		return func(cfg *upstream.Config) { cfg.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}) }
	}
	cases := []struct {
		name, base string
		change     func(*upstream.Config)
		want       string
	}{
		{"refused", "http://5.6.7.8", fail(syscall.ECONNREFUSED), "5.6.7.8: connection refused"},
		{"no route", "http://5.6.7.8", fail(syscall.EHOSTUNREACH), "5.6.7.8: no route to it"},
		{"other", "http://5.6.7.8", fail(errors.New("x")), "5.6.7.8: connection failed"},
		{"unknown name", "http://gone.test", func(*upstream.Config) {}, "gone.test: name gone.test does not exist"},
		{"broken proxy", "http://5.6.7.8", func(cfg *upstream.Config) {
			cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("http://u:secret@p") }
		}, "5.6.7.8: egress proxy is configured wrongly"},
		{"proxy refused", "https://tls.test", func(cfg *upstream.Config) {
			through("5.6.7.8:3128")(cfg)
			fail(syscall.ECONNREFUSED)(cfg)
		}, "tls.test: egress proxy: connection refused"},
		{"unknown proxy", "http://plain.test", through("gone.test:3128"), "plain.test: egress proxy: name gone.test does not exist"},
		{"proxy wants a login", "https://tls.test", through("proxy.test:3128"), "tls.test: egress proxy answered 407 Proxy Authentication Required"},
		{"foreign authority", "https://tls.test", func(cfg *upstream.Config) { cfg.RootCAs = nil }, "tls.test: certificate is signed by an unknown authority; set ca_file of upstream hub"},
		{"not TLS", "https://plain.test", func(*upstream.Config) {}, "plain.test: does not speak TLS"},
		{"certificate of another", "https://alias.test", func(*upstream.Config) {}, "alias.test: certificate is for another host"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := upstreamtest.NewNetwork(t)
				n.Serve("https://tls.test", upstreamtest.New(t))
				n.Resolve("plain.test", "5.5.6.1")
				n.Serve("http://5.5.6.1:443", upstreamtest.New(t))
				n.Resolve("other.test", "5.5.6.2")
				n.Resolve("alias.test", "5.5.6.2")
				n.Serve("https://other.test", upstreamtest.New(t))
				n.Serve("http://proxy.test:3128", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(407) }))
				e := refused(t, newClient(t, tc.base, on(n), tc.change), manifest("a", "1"))
				if e.Class != upstream.Unavailable || e.Message != tc.want || e.Err == nil {
					t.Errorf("%v: %s (%v)", e.Class, e.Message, e.Err)
				}
			})
		})
	}
}

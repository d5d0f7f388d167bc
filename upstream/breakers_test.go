package upstream_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestBreakerIsOfAHost: where blobs come from may be down while manifests go on, and whoever
// has a part of a blob goes on asking.
func TestBreakerIsOfAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		layer := string(p.AddBlob("a", []byte("layer")))
		p.RedirectBlobs("http://cdn.test") // nobody is called that
		for range 20 {
			refused(t, p.client, blob("a", layer, 0))
		}
		want := []upstream.Condition{{Host: "cdn.test", Down: true, Reason: "name cdn.test does not exist"}}
		if diff := cmp.Diff(want, p.client.Ill(), cmpopts.IgnoreFields(upstream.Condition{}, "Since")); diff != "" {
			t.Errorf("ill (-want +got):\n%s", diff)
		}
		if p.client.Ailing() {
			t.Error("ailing, where manifests come as ever")
		}
		p.wantAsked("a manifest", 1, nil)
		if e := refused(t, p.client, blob("a", layer, 0)); !errors.Is(e, upstream.ErrDown) || !strings.Contains(e.Message, "cdn.test: not asked, it is down since 00:00:") {
			t.Errorf("a blob: %v", e)
		}
		if e := refused(t, p.client, blob("a", layer, 2)); errors.Is(e, upstream.ErrDown) {
			t.Errorf("the rest of a blob: %v", e)
		}
	})
}

// TestHostThatNobodyAsks: what is known of it is out of date after a while.
func TestHostThatNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		p.goesDown()
		for range 5 {
			time.Sleep(time.Minute)
			p.wantAsked("now and then", 1, errAny)
		}
		p.wantIll("asked", upstream.Condition{Host: "r.example.com", Down: true, Reason: "connection broke before an answer"})
		if diff := cmp.Diff(map[string]float64{"r.example.com": 2}, p.hostsIll()); diff != "" {
			t.Errorf("exported (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Minute)
		p.wantIll("not asked")
		if diff := cmp.Diff(map[string]float64{}, p.hostsIll()); diff != "" {
			t.Errorf("exported (-want +got):\n%s", diff)
		}
	})
}

// TestManyHosts: redirects and challenges lead to as many hosts as they like; those known are
// bounded, and the upstream's own is always one of them.
func TestManyHosts(t *testing.T) {
	for name, lead := range map[string]func(p *patient, host string) upstream.Request{
		"blobs": func(p *patient, host string) upstream.Request {
			p.RedirectBlobs("http://" + host)
			return blob("a", string(p.AddBlob("a", []byte("layer"))), 0)
		},
		"tokens": func(p *patient, host string) upstream.Request {
			p.RequireToken("", "")
			p.Realm("http://" + host + "/token")
			return manifest("a", "1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPatient(t)
				for i := range 200 {
					r := lead(p, fmt.Sprintf("h%d.example.com", i)) // nobody is called that
					for range 6 {
						refused(t, p.client, r)
						p.client.ForgetScheme()
					}
				}
				if n := p.client.Hosts(); n != 64 {
					t.Errorf("%d hosts are known", n)
				}
				if n := len(p.client.Ill()); n == 0 || n > 64 {
					t.Errorf("%d hosts are known to be ill", n)
				}
				if n := len(p.hostsIll()); n == 0 || n > 64 {
					t.Errorf("%d hosts are exported", n)
				}
				time.Sleep(time.Hour)
				p.Fail(nil, upstreamtest.Fault{CutAfter: -1})
				for range 3 {
					p.wantFails()
				}
				if !p.client.Ailing() {
					t.Error("the upstream's own host is not known")
				}
				p.client.Retire()
				if ill := p.hostsIll(); len(ill) > 0 {
					t.Errorf("of a retired client: %v", ill)
				}
			})
		})
	}
}

// TestBlobsAreAside: a host of blobs that is ill keeps nobody from waiting for a manifest, even
// if it was asked by HEAD, nor does a segment that has no answer.
func TestBlobsAreAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t)
		layer := string(p.AddBlob("a", []byte("layer")))
		p.RedirectBlobs("http://cdn.test") // nobody is called that
		r := blob("a", layer, 0)
		r.Method = http.MethodHead
		for range 5 {
			refused(t, p.client, r)
		}
		if p.client.Ailing() || len(p.client.Ill()) != 1 {
			t.Errorf("ailing %t, ill %v", p.client.Ailing(), p.client.Ill())
		}
		p.RedirectBlobs("")
		p.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: make(chan struct{}), StallAfter: -1})
		segment := blob("a", layer, 1)
		segment.Length = 2
		refused(t, p.client, segment)
		if p.client.Ailing() {
			t.Error("ailing, since a segment had no answer")
		}
	})
}

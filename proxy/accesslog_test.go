package proxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// accessLog keeps the lines of a rig's access log.
type accessLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *accessLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// into is the change to a handler's options that makes it write here.
func (l *accessLog) into(o *proxy.Options) { o.Access = proxy.NewAccessLog(l, proxy.JSON) }

// take returns what was written since the last time.
func (l *accessLog) take() string {
	synctest.Wait() // a line is written when the client has its answer already
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// fields are what a line has besides its time, level and message.
var fields = []string{
	"agent", "bytes", "client", "kind", "method", "outcome", "reference", "registry", "repository", "status", "took", "upstream",
}

// wantLine compares the one line written since the last time with want: method, kind,
// registry, repository, reference, upstream, outcome, status and bytes, "-" for nothing.
func (l *accessLog) wantLine(t *testing.T, name, want string) {
	t.Helper()
	text := l.take()
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Errorf("%s: the log has %q, want one line: %v", name, text, err)
		return
	}
	var parts []string
	for _, key := range []string{"method", "kind", "registry", "repository", "reference", "upstream", "outcome", "status", "bytes"} {
		part := fmt.Sprint(got[key])
		if part == "" {
			part = "-"
		}
		parts = append(parts, part)
	}
	if line := strings.Join(parts, " "); line != want || got["msg"] != "request" {
		t.Errorf("%s: the line is\n%s, want\n%s", name, line, want)
	}
	// Why it is stale, and the path of what led nowhere, stand only where they say something.
	if stale := got["outcome"] == "stale"; stale != (got["detail"] != nil) || got["detail"] == "" {
		t.Errorf("%s: outcome %v, detail %v", name, got["outcome"], got["detail"])
	}
	if nowhere := got["registry"] == ""; nowhere != (got["path"] != nil) {
		t.Errorf("%s: registry %q, path %v", name, got["registry"], got["path"])
	}
	optional := []string{"time", "level", "msg", "detail", "path"}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(got)), func(k string) bool { return slices.Contains(optional, k) })
	if diff := cmp.Diff(fields, keys); diff != "" {
		t.Errorf("%s: fields (-want +got):\n%s", name, diff)
	}
}

func TestAccessLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log accessLog
		r := newRig(t, plan{upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) { u.Validity = time.Hour }}}, options: log.into})
		hub := r.hubs["hub"]
		image := hub.AddImage("app", "1", noise(1, 10_000))
		size, layer := len(image.Manifest), image.Layers[0].String()
		blob := blobPath("app", image.Layers[0])

		r.do("HEAD", manifestPath("app", "1"))
		log.wantLine(t, "HEAD", "HEAD manifest default app 1 hub miss 200 0")
		r.get(manifestPath("app", "1"))
		log.wantLine(t, "cold tag", fmt.Sprintf("GET manifest default app 1 hub miss 200 %d", size))
		r.get(manifestPath("app", "1"))
		log.wantLine(t, "warm tag", fmt.Sprintf("GET manifest default app 1 hub hit 200 %d", size))
		r.do("GET", manifestPath("app", "1"), "If-None-Match", `"`+image.Digest.String()+`"`)
		log.wantLine(t, "not modified", "GET manifest default app 1 hub hit 304 0")
		r.get(blob)
		log.wantLine(t, "cold blob", "GET blob default app "+layer+" hub miss 200 10000")
		r.get(blob)
		log.wantLine(t, "warm blob", "GET blob default app "+layer+" hub hit 200 10000")
		r.do("GET", blob, "Range", "bytes=10-19")
		log.wantLine(t, "range", "GET blob default app "+layer+" hub hit 206 10")
		refused := r.do("GET", blob, "Range", "bytes=10000-")
		log.wantLine(t, "416", fmt.Sprintf("GET blob default app %s hub hit 416 %d", layer, len(refused.body)))
		missing := r.get(manifestPath("app", "2"))
		log.wantLine(t, "not found", fmt.Sprintf("GET manifest default app 2 - not_found 404 %d", len(missing.body)))
		invalid := r.get("/v2/App/manifests/1")
		log.wantLine(t, "invalid", fmt.Sprintf("GET invalid - - - - invalid 400 %d", len(invalid.body)))
		r.get("/v2/")
		log.wantLine(t, "ping", "GET ping default - - - ping 200 2")

		hub.Stop()
		time.Sleep(2 * time.Hour)
		r.get(manifestPath("app", "1"))
		log.wantLine(t, "stale tag", fmt.Sprintf("GET manifest default app 1 hub stale 200 %d", size))
	})
}

func TestAccessLinesOfBrokenAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		fault  upstreamtest.Fault // Release is set by the test
		leaves bool
		want   string // upstream, outcome, status and bytes
	}{
		"the bytes are wrong": {upstreamtest.Fault{Corrupt: true}, false, "hub broken 200 99999"},
		"the upstream breaks for good": {
			upstreamtest.Fault{CutAfter: 60_000, Status: 200, Body: noise(1, 100_000), Length: 100_000}, false, "hub broken 200 60000",
		},
		"the client leaves while waiting":              {upstreamtest.Fault{StallAfter: 60_000}, true, "hub client_gone 200 60000"},
		"the client leaves while waiting for the size": {upstreamtest.Fault{StallAfter: -1}, true, "- client_gone 499 0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log accessLog
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}, options: log.into})
				d := r.hubs["hub"].AddBlob("app", noise(1, 100_000))
				release := make(chan struct{})
				test.fault.Release = release
				r.hubs["hub"].Fail(upstreamtest.On("GET blob"), test.fault)
				conn := r.dial()
				defer conn.Close()
				_, err := io.WriteString(conn, "GET "+blobPath("app", d)+" HTTP/1.1\r\nHost: berth.test\r\n\r\n")
				check(t, err)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.ErrClosedPipe) {
						t.Errorf("read the answer: %v", err)
					}
				}()
				synctest.Wait()
				if test.leaves {
					check(t, conn.Close())
				} else {
					close(release)
				}
				<-ended
				synctest.Wait()
				log.wantLine(t, name, "GET blob default app "+d.String()+" "+test.want)
			})
		})
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log accessLog
		r := newRig(t, plan{upstreams: []far{{name: "hub", user: "me", password: "upstream-secret"}}, options: func(o *proxy.Options) {
			log.into(o)
			o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		}})
		hub := r.hubs["hub"]
		hub.RequireToken("me", "upstream-secret")
		r.network.Serve("http://storage.test", hub.Storage())
		hub.RedirectBlobs("http://storage.test") // to a URL with signature=secret
		image := hub.AddImage("app", "1", noise(1, 10_000))
		hub.Fail(upstreamtest.On("GET storage"), upstreamtest.Fault{Times: 1, CutAfter: 5000})
		hub.Fail(upstreamtest.On("GET storage"), upstreamtest.Fault{Times: 1, Status: http.StatusServiceUnavailable})
		for _, path := range []string{
			manifestPath("app", "1") + "?ns=hub.test&token=query-secret", blobPath("app", image.Layers[0]) + "?token=query-secret",
			"/v2/app/nothing/1?token=query-secret", "/v2/app/tags/list?last=query-secret%zz", "/v2/app/manifests/9?token=query-secret",
		} {
			for _, login := range []string{"Basic Y2xpZW50LXNlY3JldA==", "Bearer client-secret"} {
				r.do("GET", path, "Authorization", login, "Cookie", "id=client-secret")
			}
		}
		hub.RequireToken("me", "rotated")
		hub.ExpireTokens()
		r.do("GET", manifestPath("app", "3"))
		text := log.take()
		if n := strings.Count(text, `"msg":"request"`); n != 11 {
			t.Errorf("%d access lines, want 11:\n%s", n, text)
		}
		for _, secret := range []string{"secret", "Y2xpZW50", "token-", "Bearer", "Basic"} {
			if strings.Contains(text, secret) {
				t.Errorf("the log holds %q:\n%s", secret, text)
			}
		}
	})
}

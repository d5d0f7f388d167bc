package upstream_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestRequests counts what reaches a registry, cold and warm, for each way to log in.
func TestRequests(t *testing.T) {
	const token = "GET token repository:library/alpine:pull"
	type outcome struct{ cold, warm []string }
	cases := []struct {
		name  string
		setup func(*upstreamtest.Registry)
		login bool
		want  outcome
	}{
		{
			name:  "no login",
			setup: func(*upstreamtest.Registry) {},
			want: outcome{
				cold: []string{"GET manifest library/alpine:3"},
				warm: []string{"GET manifest library/alpine:3"},
			},
		},
		{
			name:  "no login needed though there is one",
			setup: func(*upstreamtest.Registry) {},
			login: true,
			want: outcome{
				cold: []string{"GET manifest library/alpine:3"},
				warm: []string{"GET manifest library/alpine:3"},
			},
		},
		{
			name:  "anonymous token",
			setup: func(r *upstreamtest.Registry) { r.RequireToken("", "") },
			want: outcome{
				cold: []string{"GET manifest library/alpine:3", token, "GET manifest library/alpine:3"},
				warm: []string{"GET manifest library/alpine:3"},
			},
		},
		{
			name:  "token for a login",
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, password) },
			login: true,
			want: outcome{
				cold: []string{"GET manifest library/alpine:3", token, "GET manifest library/alpine:3"},
				warm: []string{"GET manifest library/alpine:3"},
			},
		},
		{
			name:  "basic",
			setup: func(r *upstreamtest.Registry) { r.RequireBasic(user, password) },
			login: true,
			want: outcome{
				cold: []string{"GET manifest library/alpine:3", "GET manifest library/alpine:3"},
				warm: []string{"GET manifest library/alpine:3"},
			},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			img := reg.AddImage("library/alpine", "3", []byte("layer"))
			tc.setup(reg)
			change := []func(*upstream.Config){}
			if tc.login {
				change = append(change, withLogin)
			}
			c := newClient(t, reg.Start(t), change...)
			var got outcome
			for _, record := range []*[]string{&got.cold, &got.warm} {
				resp, body := fetch(t, c, manifest("library/alpine", "3"))
				if body != string(img.Manifest) || resp.Digest != img.Digest {
					t.Errorf("manifest %s: %q, want %q", resp.Digest, body, img.Manifest)
				}
				*record = reg.Requests()
				reg.Reset()
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHeadersSent(t *testing.T) {
	reg := upstreamtest.New(t)
	img := reg.AddImage("a", "1", []byte("layer"))
	c := newClient(t, reg.Start(t), func(cfg *upstream.Config) { cfg.UserAgent = "berth/test" })
	fetch(t, c, manifest("a", "1"))
	fetch(t, c, blob("a", string(img.Layers[0]), 2))
	want := []map[string]string{
		{
			"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
				"application/vnd.docker.distribution.manifest.list.v2+json, " +
				"application/vnd.docker.distribution.manifest.v2+json",
			"Accept-Encoding": "identity", "User-Agent": "berth/test",
		},
		{"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "berth/test", "Range": "bytes=2-"},
	}
	got := []map[string]string{}
	for _, rec := range reg.Records() {
		h := map[string]string{}
		for key, values := range rec.Header {
			h[key] = strings.Join(values, "|")
		}
		got = append(got, h)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFingerprint(t *testing.T) {
	base := fingerprint(t, "https://registry.example.com", "")
	cases := []struct {
		name, url, user string
		same            bool
	}{
		{"case, port and slash", "HTTPS://Registry.Example.com:443/", "", true},
		{"other scheme", "http://registry.example.com", "", false},
		{"other port", "https://registry.example.com:5000", "", false},
		{"other host", "https://registry.example.org", "", false},
		{"a user", "https://registry.example.com", "jo", false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := fingerprint(t, tc.url, tc.user); (got == base) != tc.same || len(got) != 16 {
				t.Errorf("fingerprint %q, base %q, want same: %v", got, base, tc.same)
			}
		})
	}
}

func fingerprint(t *testing.T, base, name string) string {
	t.Helper()
	return newClient(t, base, func(cfg *upstream.Config) {
		cfg.Name = "name of " + t.Name() // which must not matter
		cfg.Credentials = []upstream.Credential{upstream.Password(name, "")}
	}).Fingerprint()
}

func TestBadConfig(t *testing.T) {
	for _, base := range []string{"", "/path", "https:///v2", "ftp://host", "https://host/path", "https://jo@host", "https://host?q=1"} {
		t.Run(base, func(t *testing.T) {
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := upstream.New(upstream.Config{Name: "x", URL: u}); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := upstream.New(upstream.Config{Name: "x"}); err == nil {
		t.Error("no error without URL")
	}
}

func TestNamesThatAreNoPath(t *testing.T) {
	reg := upstreamtest.New(t)
	c := newClient(t, reg.Start(t))
	for _, r := range []upstream.Request{
		manifest("../admin", "1"), manifest("a", "../../x"), manifest("a//b", "1"), manifest("", "1"), manifest("a", ""),
		{Method: http.MethodPost, Kind: upstream.KindManifest, Repository: "a", Reference: "1"},
	} {
		if e := refused(t, c, r); e.Class != upstream.Unavailable {
			t.Errorf("%v: class %v", r, e.Class)
		}
	}
	if got := reg.Requests(); len(got) != 0 {
		t.Errorf("registry saw %q", got)
	}
}

func TestEscapedNames(t *testing.T) {
	reg := upstreamtest.New(t)
	c := newClient(t, reg.Start(t))
	refused(t, c, manifest("a", "1?ns=b"))
	if diff := cmp.Diff([]string{"GET manifest a:1?ns=b"}, reg.Requests()); diff != "" || reg.Records()[0].Header.Get("Range") != "" {
		t.Error(diff)
	}
}

func TestClosed(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.AddImage("a", "1")
	c := newClient(t, reg.Start(t))
	c.Close()
	if e := refused(t, c, manifest("a", "1")); e.Err == nil || e.Class != upstream.Unavailable {
		t.Errorf("error %v with cause %v", e, e.Err)
	}
	if got := reg.Requests(); len(got) != 0 {
		t.Errorf("registry saw %q", got)
	}
}

// TestFaultsInTheLog wants one line for each answer that says no, with one name on it, and
// none for the challenge that a first request is sent to learn.
func TestFaultsInTheLog(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.AddImage("library/alpine", "3", []byte("layer"))
	reg.RequireToken(user, password)
	var log strings.Builder
	c := newClient(t, reg.Start(t), withLogin, func(cfg *upstream.Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	fetch(t, c, manifest("library/alpine", "3"))
	if log.Len() > 0 {
		t.Errorf("a pull that went well logs\n%s", log.String())
	}
	refused(t, c, manifest("library/alpine", "none"))
	if lines := log.String(); strings.Count(lines, "\n") != 1 || strings.Count(lines, " upstream=hub ") != 1 || !strings.Contains(lines, " status=404 ") {
		t.Errorf("a missing tag logs\n%s", lines)
	}
}

package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestCheckAsksUpstreams runs berth check against upstreams that are well, that refuse the
// login and that are not there.
func TestCheckAsksUpstreams(t *testing.T) {
	open, locked := upstreamtest.New(t), upstreamtest.New(t)
	open.AddImage("library/app", "1")
	open.AddImage("tools/app", "latest")
	open.Fail(upstreamtest.On("HEAD manifest"), upstreamtest.Fault{Header: http.Header{
		"Ratelimit-Limit": {"100;w=21600"}, "Ratelimit-Remaining": {"76;w=21600"},
	}})
	locked.RequireToken("me", "right")
	private := locked.AddImage("private/app", "2")
	upstreams := `  open: {url: "` + open.Start(t) + `"}
  locked: {url: "` + locked.Start(t) + `", username: me, password: right}
`
	registries := "registries: {default: {upstreams: [open, locked]}}\n"
	head := "UPSTREAM  ANSWERED IN  LOGIN      PULLS LEFT   CERTIFICATE UNTIL\n"
	head2 := `UPSTREAM  ANSWERED IN  LOGIN      PULLS LEFT  CERTIFICATE UNTIL
open      0ms          anonymous  not told    none
locked    0ms          me         not told    none
gone      never        anonymous  not told    none
`
	const unusable = "berth: not every upstream can be used as it is configured\n"
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
	}))
	defer page.Close()
	for name, test := range map[string]struct {
		upstreams, registries string
		flags                 []string
		want                  string // behind what the configuration means
		status                int
		errors                string
	}{
		"well": {upstreams, registries, nil, `UPSTREAM  ANSWERED IN  LOGIN      PULLS LEFT  CERTIFICATE UNTIL
open      0ms          anonymous  not told    none
locked    0ms          me         not told    none
`, 0, ""},
		"images": {upstreams, registries, []string{"--image", "library/app:1", "--image", "tools/app", "--image", "private/app@" + private.Digest.String()}, head + `open      0ms          anonymous  76 of 100    none
locked    0ms          me         not told     none

IMAGE  UPSTREAM  SAYS
library/app:1  open  here, sha256:…
tools/app  open  here, sha256:…
private/app@sha256:…  open  HOST: not found
private/app@sha256:…  locked  here, sha256:…
`, 0, ""},
		"missing": {upstreams, registries, []string{"--image", "library/none:1", "--image", "quay.io/x"}, head + `open      0ms          anonymous  76 of 100    none
locked    0ms          me         not told     none

IMAGE  UPSTREAM  SAYS
library/none:1  open  HOST: not found
library/none:1  locked  HOST: not found
quay.io/x  none  no upstream of registry default is called quay.io; it has HOST, HOST

library/none:1: no upstream has it for us
quay.io/x: no upstream has it for us
`, 3, "berth: not every image can be pulled\n"},
		"slow by its rate": {
			strings.Replace(upstreams, "password: right", "password: right, rate: 1/h, concurrency: 1", 1), registries,
			[]string{"--image", "private/app:2"},
			head + `open      0ms          anonymous  76 of 100    none
locked    0ms          me         not told     none

IMAGE  UPSTREAM  SAYS
private/app:2  open  HOST: not found
private/app:2  locked  here, sha256:…
`, 0, "",
		},
		"no registry": {upstreams + `  page: {url: "` + page.URL + `"}` + "\n", registries, nil, `UPSTREAM  ANSWERED IN  LOGIN      PULLS LEFT  CERTIFICATE UNTIL
open      0ms          anonymous  not told    none
locked    0ms          me         not told    none
page      0ms          anonymous  not told    none

page: answers, but not like a registry: /v2/ is a web page that says 404; check its url
`, 0, ""},
		"ill, stops": {
			upstreams + `  gone: {url: "http://127.0.0.1:1"}` + "\n", "registries: {default: {upstreams: [gone, locked]}}\n",
			[]string{"--image", "private/app:2"},
			head2 + `
IMAGE  UPSTREAM  SAYS
private/app:2  gone  HOST: connection refused

private/app:2: no upstream has it for us
gone: HOST: connection refused
`, 3, unusable,
		},
		"ill, next": {
			upstreams + `  gone: {url: "http://127.0.0.1:1"}` + "\n", "registries: {default: {upstreams: [gone, locked], on_error: next}}\n",
			[]string{"--image", "private/app:2"},
			head2 + `
IMAGE  UPSTREAM  SAYS
private/app:2  gone  HOST: connection refused
private/app:2  locked  here, sha256:…

gone: HOST: connection refused
`, 3, unusable,
		},
		"wrong": {strings.Replace(upstreams, "right", "wrong", 1) + `  gone: {url: "http://127.0.0.1:1"}` + "\n", "", nil, head + `open      0ms          anonymous    not told    none
locked    0ms          me, refused  not told    none
gone      never        anonymous    not told    none

locked: HOST: login refused; check username and password of upstream locked
gone: HOST: connection refused
`, 3, unusable},
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t, "data: "+filepath.Join(t.TempDir(), "none")+"\nupstreams:\n"+test.upstreams+test.registries)
			got := runs(t, append([]string{"check", "--config", path}, test.flags...)...)
			_, text, _ := strings.Cut(got.Out, "made at the start.\n\n")
			if diff := cmp.Diff(unspaced(test.want), unspaced(text)); diff != "" || got.Status != test.status || got.Errors != test.errors {
				t.Errorf("status %d, want %d; %s\nprinted (-want +got):\n%s", got.Status, test.status, got.Errors, diff)
			}
		})
	}
}

var changing = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b\d+(\.\d+)?(µs|ms)\b`), "0ms"},
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "sha256:…"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
	{regexp.MustCompile(` +`), " "},
}

// unspaced is text without what is another each time, and without the width of columns.
func unspaced(text string) string {
	for _, c := range changing {
		text = c.what.ReplaceAllString(text, c.as)
	}
	return text
}

func TestCheckFlagsThatExcludeEachOther(t *testing.T) {
	for _, flags := range [][]string{{"--repair", "--offline"}, {"--repair", "--image", "a"}, {"--offline", "--image", "a"}} {
		got := runs(t, append([]string{"check", "--config", written(t, "{}\n")}, flags...)...)
		if got.Status != 2 || !strings.Contains(got.Errors, "leave out") {
			t.Errorf("%v: %+v", flags, got)
		}
	}
}

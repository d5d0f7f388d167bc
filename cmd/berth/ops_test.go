package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestProfiles(t *testing.T) {
	for _, test := range []struct {
		on     bool
		path   string
		status int
		want   string
	}{
		{true, "/debug/pprof/", 200, "heap"},
		{true, "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{true, "/debug/pprof/cmdline", 200, ""},
		{false, "/debug/pprof/", 404, "pprof: true"},
		{false, "/debug/pprof/heap", 404, "pprof: true"},
		{false, "/metrics", 200, ""},
	} {
		w := httptest.NewRecorder()
		opsHandler(prometheus.NewRegistry(), new(readiness), test.on, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, test.path, http.NoBody))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("profiles %t: GET %s: %d %.200q, want %d with %q", test.on, test.path, w.Code, w.Body, test.status, test.want)
		}
	}
}

func TestWhatCountsAsAPull(t *testing.T) {
	for path, want := range map[string]bool{
		"/v2": false, "/v2/": false, "/hub/v2/": false, "/hub/v2": false,
		"/v2/app/manifests/1": true, "/v2/a/b/blobs/sha256:0": true, "/hub/v2/app/manifests/1": true, "/hub/v2/app/blobs/sha256:0": true,
		"/v2/app/tags/list": false, "/v2/manifests/tags/list": false, "/v2/app/referrers/sha256:0": false,
		"/v2/_catalog": false, "/v2/app/blobs/": false, "/manifests/1": false, "/": false,
	} {
		if got := isPull(httptest.NewRequest(http.MethodGet, path, http.NoBody)); got != want {
			t.Errorf("%s is a pull: %t", path, got)
		}
	}
}

package upstream_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestMetrics(t *testing.T) {
	reg := upstreamtest.New(t)
	d := reg.AddBlob("a", []byte("0123456789"))
	reg.RequireToken(user, password)
	registry := prometheus.NewPedanticRegistry()
	c := newClient(t, reg.Start(t), withLogin, func(cfg *upstream.Config) { cfg.Metrics = upstream.NewMetrics(registry) })
	fetch(t, c, blob("a", string(d), 0))
	fetch(t, c, blob("a", string(d), 6))
	refused(t, c, manifest("a", "none"))
	reg.RefuseMissing(403)
	refused(t, c, manifest("gone", "1"))
	reg.Stop()
	refused(t, c, manifest("a", "none"))

	want := `
# HELP berth_upstream_fetched_bytes_total Bytes read of the bodies of good answers, by upstream and kind of request.
# TYPE berth_upstream_fetched_bytes_total counter
berth_upstream_fetched_bytes_total{kind="blob",upstream="hub"} 14
# HELP berth_upstream_token_requests_total Questions to token services by upstream and result: ok or the class of the error.
# TYPE berth_upstream_token_requests_total counter
berth_upstream_token_requests_total{result="ok",upstream="hub"} 2
berth_upstream_token_requests_total{result="refused",upstream="hub"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"berth_upstream_fetched_bytes_total", "berth_upstream_token_requests_total"); err != nil {
		t.Error(err)
	}
	labels := map[string]uint64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "berth_upstream_request_duration_seconds" {
				labels[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	for label, n := range map[string]uint64{"blob 200": 1, "blob 206": 1, "manifest 404": 1, "manifest 403": 1, "manifest error": 1} {
		if labels[label] != n {
			t.Errorf("%s: %d, want %d of %v", label, labels[label], n, labels)
		}
	}
}

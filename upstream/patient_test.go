package upstream_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// patient is an upstream in a bubble, with what its Client exports.
type patient struct {
	*upstreamtest.Registry
	t       *testing.T
	client  *upstream.Client
	metrics *prometheus.Registry
	turn    int
}

func newPatient(t *testing.T, change ...func(*upstream.Config)) *patient {
	t.Helper()
	p := &patient{Registry: upstreamtest.New(t), t: t, metrics: prometheus.NewRegistry()}
	p.AddImage("a", "1", []byte("layer"))
	p.AddImage("b", "1", []byte("layer"))
	n := upstreamtest.NewNetwork(t)
	change = append([]func(*upstream.Config){on(n), func(cfg *upstream.Config) { cfg.Metrics = upstream.NewMetrics(p.metrics) }}, change...)
	p.client = newClient(t, n.Serve("http://r.example.com", p), change...)
	return p
}

// asks asks for a manifest of one repository or the other, in turn, and says how many
// requests that took.
func (p *patient) asks() (int, error) {
	p.t.Helper()
	before := len(p.Requests())
	p.turn++
	resp, err := p.client.Do(p.t.Context(), manifest([]string{"a", "b"}[p.turn%2], "1"))
	if err == nil {
		resp.Body.Close()
	}
	return len(p.Requests()) - before, err
}

func (p *patient) wantAsked(what string, want int, wantErr error) {
	p.t.Helper()
	if got, err := p.asks(); got != want || (err == nil) != (wantErr == nil) || wantErr != nil && errors.Is(wantErr, upstream.ErrDown) != errors.Is(err, upstream.ErrDown) {
		p.t.Errorf("%s: %d requests, %v; want %d, %v", what, got, err, want, wantErr)
	}
}

// goesDown has every connection break, until the host counts as down.
func (p *patient) goesDown() {
	p.t.Helper()
	p.Fail(nil, upstreamtest.Fault{CutAfter: -1})
	p.wantAsked("first", 3, errAny)
	p.wantAsked("second", 2, errAny)
}

func (p *patient) wantIll(what string, want ...upstream.Condition) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.client.Ill(), cmpopts.IgnoreFields(upstream.Condition{}, "Since")); diff != "" {
		p.t.Errorf("%s: ill (-want +got):\n%s", what, diff)
	}
	if got := p.client.Ailing(); got != (len(want) > 0) {
		p.t.Errorf("%s: ailing %t", what, got)
	}
}

func (p *patient) wantFails() {
	if resp, err := p.client.Do(p.t.Context(), manifest("a", "1")); err == nil {
		resp.Body.Close()
		p.t.Error("no error")
	}
}

// hostsIll is what is exported of hosts that are ill.
func (p *patient) hostsIll() map[string]float64 {
	p.t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	ill := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "berth_upstream_host_ill" {
			for _, m := range f.GetMetric() {
				ill[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return ill
}

var errAny = errors.New("an error")

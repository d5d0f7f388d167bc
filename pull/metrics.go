package pull

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/catalog"
)

// Metrics are what this package counts.
type Metrics struct {
	credentials *prometheus.CounterVec
}

// NewMetrics returns the package's metrics, registered with r unless that is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{credentials: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_upstream_credential_refused_total",
		Help: "Answers that mean an upstream's configured credential no longer works. Any increase wants a person.",
	}, []string{"upstream"})}
	if r != nil {
		r.MustRegister(m.credentials)
	}
	return m
}

// Begin has the counts of an upstream that has a credential start at zero, so that their
// first step can be seen.
func (m *Metrics) Begin(upstream string) { m.credentials.WithLabelValues(upstream) }

func (m *Metrics) refused(u *catalog.Upstream) { m.credentials.WithLabelValues(u.Name).Inc() }

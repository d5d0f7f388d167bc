package pull

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/berth-cache/berth/catalog"
)

// Metrics are what this package counts.
type Metrics struct {
	credentials *prometheus.CounterVec
	origins     *prometheus.CounterVec
}

// What became of a repository that another upstream has than before.
const (
	originFollowed = "followed"
	originRefused  = "refused"
)

// NewMetrics returns the package's metrics, registered with r unless that is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	factory := promauto.With(r)
	return &Metrics{
		credentials: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_credential_refused_total",
			Help: "Answers that mean an upstream's configured credential no longer works. Any increase wants a person.",
		}, []string{"upstream"}),
		origins: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_origin_changes_total",
			Help: "Tags that another upstream had than the one their repository comes from, by what became of it: followed or refused. Any increase wants a person.",
		}, []string{"registry", "result"}),
	}
}

// Begin has the counts of an upstream that has a credential start at zero, so that their
// first step can be seen.
func (m *Metrics) Begin(upstream string) { m.credentials.WithLabelValues(upstream) }

func (m *Metrics) refused(u *catalog.Upstream) { m.credentials.WithLabelValues(u.Name).Inc() }

// BeginRegistry is Begin for the counts of a registry.
func (m *Metrics) BeginRegistry(name string) {
	for _, result := range []string{originFollowed, originRefused} {
		m.origins.WithLabelValues(name, result)
	}
}

func (m *Metrics) origin(registry, result string) { m.origins.WithLabelValues(registry, result).Inc() }

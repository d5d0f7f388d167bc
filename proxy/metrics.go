package proxy

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what this package counts.
type Metrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
}

// NewMetrics returns the package's metrics, registered with r unless that is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_requests_total",
			Help: "Requests answered, by registry, the upstream that the answer comes from, kind and outcome.",
		}, []string{"registry", "upstream", "kind", "outcome"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_served_bytes_total",
			Help: "Bytes of bodies sent to clients.",
		}, []string{"registry", "upstream", "kind"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.bytes)
	}
	return m
}

// finish counts a request and writes its line in the access log.
func (h *Handler) finish(w *response, r *http.Request) {
	h.metrics.requests.WithLabelValues(w.registry, w.upstream, string(w.kind), w.outcome).Inc()
	if w.bytes > 0 {
		h.metrics.bytes.WithLabelValues(w.registry, w.upstream, string(w.kind)).Add(float64(w.bytes))
	}
	if h.access != nil {
		h.access.write(w, r)
	}
}

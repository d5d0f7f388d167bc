package proxy

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are what this package counts.
type Metrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec

	// found has the counters of labels that were seen before: the vectors take several
	// times as long to find them. It is replaced, never changed.
	found atomic.Pointer[map[labels]counters]
	mu    sync.Mutex // guards the replacing of found
}

// labels are what requests are counted by, and whether they had a body.
type labels struct {
	registry, upstream, kind, outcome string

	body bool
}

// counters count requests of the same labels; those without a body have no bytes.
type counters struct{ requests, bytes prometheus.Counter }

// NewMetrics returns the package's metrics, registered with r unless that is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	factory := promauto.With(r)
	m := &Metrics{
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_requests_total",
			Help: "Requests answered, by registry, the upstream that the answer comes from, kind and outcome.",
		}, []string{"registry", "upstream", "kind", "outcome"}),
		bytes: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_served_bytes_total",
			Help: "Bytes of bodies sent to clients.",
		}, []string{"registry", "upstream", "kind"}),
	}
	m.found.Store(&map[labels]counters{})
	return m
}

// count counts a request that was answered with w.
func (m *Metrics) count(w *response) {
	l := labels{w.registry, w.upstream, string(w.kind), w.outcome, w.bytes > 0}
	c, ok := (*m.found.Load())[l]
	if !ok {
		c = m.find(l)
	}
	c.requests.Inc()
	if l.body {
		c.bytes.Add(float64(w.bytes))
	}
}

// find finds the counters of labels that were not seen before.
func (m *Metrics) find(l labels) counters {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := counters{requests: m.requests.WithLabelValues(l.registry, l.upstream, l.kind, l.outcome)}
	if l.body {
		c.bytes = m.bytes.WithLabelValues(l.registry, l.upstream, l.kind)
	}
	found := maps.Clone(*m.found.Load())
	found[l] = c
	m.found.Store(&found)
	return c
}

// finish counts a request and writes its line in the access log.
func (h *Handler) finish(w *response, r *http.Request) {
	h.metrics.count(w)
	if h.access != nil {
		h.access.write(w, r)
	}
}

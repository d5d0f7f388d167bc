package server

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tell of one Server's connections. A nil *Metrics counts nothing.
type Metrics struct {
	shed, acceptErrors, handshakes prometheus.Counter
	open, limit                    *prometheus.Desc
	connections                    atomic.Pointer[connections] // nil until there is a server
}

var _ prometheus.Collector = (*Metrics)(nil)

// NewMetrics makes the metrics and registers them with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	factory := promauto.With(r)
	m := &Metrics{
		shed: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_connections_shed_total", Help: "Resting connections closed to make room for others.",
		}),
		acceptErrors: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_accept_errors_total", Help: "Tries to accept a connection for which the system had no descriptor or memory.",
		}),
		handshakes: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_tls_handshake_errors_total", Help: "Connections that did not agree on TLS; log level debug says why.",
		}),
		open:  prometheus.NewDesc("berth_connections", "Open connections of clients: new (no request yet), active (with a request) or idle.", []string{"state"}, nil),
		limit: prometheus.NewDesc("berth_connections_limit", "How many connections of clients may be open.", nil, nil),
	}
	r.MustRegister(m)
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.open; ch <- m.limit }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.connections.Load()
	if s == nil {
		return
	}
	for state, n := range s.count() {
		ch <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(n), state.String())
	}
	ch <- prometheus.MustNewConstMetric(m.limit, prometheus.GaugeValue, float64(s.max.Load()))
}

func (m *Metrics) watch(s *connections) {
	if m != nil {
		m.connections.Store(s)
	}
}

func (m *Metrics) closedForRoom(n int) {
	if m != nil {
		m.shed.Add(float64(n))
	}
}

func (m *Metrics) acceptFailed() {
	if m != nil {
		m.acceptErrors.Inc()
	}
}

func (m *Metrics) handshakeFailed() {
	if m != nil {
		m.handshakes.Inc()
	}
}

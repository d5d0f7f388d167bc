package upstream

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are shared by all Clients of a process. A nil *Metrics counts nothing.
type Metrics struct {
	duration *prometheus.HistogramVec
	tokens   *prometheus.CounterVec
	fetched  *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; it panics if they are there already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "berth_upstream_request_duration_seconds",
			Help: "Time from asking an upstream to the header of its answer, login and retries included, " +
				"by upstream, kind of request and status (or error).",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"upstream", "kind", "status"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_token_requests_total",
			Help: "Questions to token services by upstream and result: ok or the class of the error.",
		}, []string{"upstream", "result"}),
		fetched: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_fetched_bytes_total",
			Help: "Bytes read of the bodies of good answers, by upstream and kind of request.",
		}, []string{"upstream", "kind"}),
	}
	reg.MustRegister(m.duration, m.tokens, m.fetched)
	return m
}

// request counts one request that took d. status is that of the answer, 0 for none.
func (m *Metrics) request(upstream string, kind Kind, status int, d time.Duration) {
	if m == nil {
		return
	}
	label := "error"
	if status >= 100 && status <= 599 { // what else a server may make up must not become a label
		label = strconv.Itoa(status)
	}
	m.duration.WithLabelValues(upstream, kind.String(), label).Observe(d.Seconds())
}

func (m *Metrics) token(upstream, result string) {
	if m != nil {
		m.tokens.WithLabelValues(upstream, result).Inc()
	}
}

// fetchedBytes returns the function that counts bytes as they are read.
func (m *Metrics) fetchedBytes(upstream string, kind Kind) func(int) {
	if m == nil {
		return func(int) {}
	}
	counter := m.fetched.WithLabelValues(upstream, kind.String())
	return func(n int) { counter.Add(float64(n)) }
}

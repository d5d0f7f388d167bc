package upstream

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are shared by all Clients of a process. A nil *Metrics counts nothing.
type Metrics struct {
	duration, queue          *prometheus.HistogramVec
	tokens, fetched, lookups *prometheus.CounterVec
	tooMany, unsent          *prometheus.CounterVec
	accounts                 *prometheus.GaugeVec
	hosts                    *hostsIll

	limit, remaining, window, source *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them; it panics if they are there already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	factory := promauto.With(reg)
	rateLimit := func(name, help string, more ...string) *prometheus.GaugeVec {
		return factory.NewGaugeVec(prometheus.GaugeOpts{Name: "berth_upstream_ratelimit_" + name, Help: help}, append([]string{"upstream"}, more...))
	}
	m := &Metrics{
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "berth_upstream_request_duration_seconds",
			Help: "Time from asking an upstream to the header of its answer, login and retries included, " +
				"by upstream, kind of request and status (or error).",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"upstream", "kind", "status"}),
		queue: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "berth_upstream_queue_duration_seconds",
			Help:    "How long requests waited for the rate or concurrency that is configured for their upstream, where either is.",
			Buckets: []float64{.001, .01, .1, .5, 1, 2.5, 5, 10, 30},
		}, []string{"upstream"}),
		tokens: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_token_requests_total",
			Help: "Questions to token services by upstream and result: ok or the class of the error.",
		}, []string{"upstream", "result"}),
		fetched: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_fetched_bytes_total",
			Help: "Bytes read of the bodies of good answers, by upstream and kind of request.",
		}, []string{"upstream", "kind"}),
		lookups: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_credential_lookups_total",
			Help: "Lookups of logins by upstream, source (docker_config, a keychain) and result: ok or failed.",
		}, []string{"upstream", "source", "result"}),
		tooMany: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_limited_total",
			Help: "Answers 429 by upstream and limit: pulls (Docker Hub's), abuse (too many from one address) or requests.",
		}, []string{"upstream", "limit"}),
		unsent: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_upstream_spared_total",
			Help: "Requests that were not sent since the upstream's host was down.",
		}, []string{"upstream"}),
		accounts: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "berth_upstream_credential_state",
			Help: "How the credentials of an upstream were when it was last asked, by their place in the configuration from 1: 0 ready (the first of those is in use), 1 no pulls left, 2 refused or not to be looked up.",
		}, []string{"upstream", "credential"}),
		hosts:     &hostsIll{},
		limit:     rateLimit("limit", "How many pulls an upstream allows in a window, as it last told."),
		remaining: rateLimit("remaining", "How many of them are left, as it last told."),
		window:    rateLimit("window_seconds", "How long the window is."),
		source:    rateLimit("source", "Whom the upstream counts, an address or an account; always 1.", "source"),
	}
	reg.MustRegister(m.hosts)
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

// credential exports how the i-th credential is.
func (m *Metrics) credential(upstream string, i int, standing Standing) {
	if m != nil {
		m.accounts.WithLabelValues(upstream, strconv.Itoa(i+1)).Set(float64(standing))
	}
}

func (m *Metrics) lookup(upstream, kind string, err error) {
	if m == nil {
		return
	}
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.lookups.WithLabelValues(upstream, kind, result).Inc()
}

func (m *Metrics) limited(upstream string, l Limit) {
	if m != nil {
		m.tooMany.WithLabelValues(upstream, l.String()).Inc()
	}
}

func (m *Metrics) rateLimit(upstream string, l RateLimit) {
	if m == nil {
		return
	}
	m.limit.WithLabelValues(upstream).Set(float64(l.Limit))
	m.remaining.WithLabelValues(upstream).Set(float64(l.Remaining))
	if l.Window > 0 {
		m.window.WithLabelValues(upstream).Set(l.Window.Seconds())
	}
	if l.Source != "" {
		m.source.WithLabelValues(upstream, l.Source).Set(1)
	}
}

// unlimited forgets what upstream told of a limit.
func (m *Metrics) unlimited(upstream string) {
	if m != nil {
		for _, g := range []*prometheus.GaugeVec{m.limit, m.remaining, m.window, m.source} {
			g.DeletePartialMatch(prometheus.Labels{"upstream": upstream})
		}
	}
}

func (m *Metrics) spared(upstream string) {
	if m != nil {
		m.unsent.WithLabelValues(upstream).Inc()
	}
}

// forget drops what is exported of upstream's present.
func (m *Metrics) forget(upstream string) {
	if m != nil {
		m.accounts.DeletePartialMatch(prometheus.Labels{"upstream": upstream})
		m.unlimited(upstream)
	}
}

func (m *Metrics) queued(upstream string, waited time.Duration) {
	if m != nil {
		m.queue.WithLabelValues(upstream).Observe(waited.Seconds())
	}
}

package proxy

import (
	"log/slog"
	"net/http"
	"time"

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
	status := w.status
	if status == 0 {
		status = 499 // the client left before there was an answer
	}
	// Neither query nor credentials: what is named here may be read by many.
	line := []slog.Attr{
		slog.String("method", clip(r.Method)), slog.Int("status", status),
		slog.String("registry", w.registry), slog.String("repository", w.repository),
		slog.String("kind", string(w.kind)), slog.String("reference", w.reference),
		slog.String("upstream", w.upstream), slog.String("outcome", w.outcome),
		slog.Int64("bytes", w.bytes), slog.Duration("took", time.Since(w.began)),
		slog.String("client", r.RemoteAddr), slog.String("agent", clip(r.UserAgent())),
	}
	if w.detail != "" {
		line = append(line, slog.String("detail", w.detail)) // why it is stale
	}
	if w.registry == "" {
		line = append(line, slog.String("path", clip(r.URL.Path))) // led to nothing: all there is
	}
	h.access.LogAttrs(r.Context(), slog.LevelInfo, "request", line...)
}

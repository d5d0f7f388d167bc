package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tells of the limits and of eviction. A nil *Metrics counts nothing.
type Metrics struct {
	objects, bytes          prometheus.Counter
	limited, reserved, idle prometheus.Gauge
}

// NewMetrics registers the metrics of a store with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	factory := promauto.With(r)
	return &Metrics{
		objects: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_evicted_objects_total", Help: "Objects that went to make room.",
		}),
		bytes: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_evicted_bytes_total", Help: "Bytes of the objects that went to make room.",
		}),
		limited: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_content_limit_bytes", Help: "How many bytes of content may be held; 0 is any number.",
		}),
		reserved: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_content_reserved_bytes", Help: "Bytes that content on its way in may take.",
		}),
		idle: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_content_oldest_use_seconds", Help: "How long ago the object was used that would be evicted next.",
		}),
	}
}

func (m *Metrics) evict(bytes int64) {
	if m != nil {
		m.objects.Inc()
		m.bytes.Add(float64(bytes))
	}
}

func (m *Metrics) limit(bytes int64) {
	if m != nil {
		m.limited.Set(float64(bytes))
	}
}

func (m *Metrics) reserve(bytes int64) {
	if m != nil {
		m.reserved.Set(float64(bytes))
	}
}

func (m *Metrics) oldest(idle time.Duration) {
	if m != nil {
		m.idle.Set(idle.Seconds())
	}
}

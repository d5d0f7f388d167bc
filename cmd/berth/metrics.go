package main

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/server"
)

// reloadMetrics tell how reading the configuration again came out.
type reloadMetrics struct {
	reloads    *prometheus.CounterVec
	successful prometheus.Gauge
	at         prometheus.Gauge
}

// newReloadMetrics registers the metrics, with the start as a success.
func newReloadMetrics(r prometheus.Registerer) *reloadMetrics {
	factory := promauto.With(r)
	m := &reloadMetrics{
		reloads: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_config_reloads_total", Help: "Times that a configuration was read again, by result: applied or refused.",
		}, []string{"result"}),
		successful: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_config_last_reload_successful", Help: "1 if the configuration last read holds, 0 if it was refused and an older one does.",
		}),
		at: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_config_last_reload_success_timestamp_seconds", Help: "When the configuration that holds was read, in Unix time.",
		}),
	}
	m.reloads.WithLabelValues("applied")
	m.reloads.WithLabelValues("refused")
	m.successful.Set(1)
	m.at.SetToCurrentTime()
	return m
}

func (m *reloadMetrics) count(applied bool) {
	if !applied {
		m.reloads.WithLabelValues("refused").Inc()
		m.successful.Set(0)
		return
	}
	m.reloads.WithLabelValues("applied").Inc()
	m.successful.Set(1)
	m.at.SetToCurrentTime()
}

// upstreamInfo exports what the upstreams are, to be joined with what they did.
type upstreamInfo struct {
	desc    *prometheus.Desc
	current atomic.Pointer[[]config.Upstream]
}

var _ prometheus.Collector = (*upstreamInfo)(nil)

func newUpstreamInfo(r prometheus.Registerer) *upstreamInfo {
	i := &upstreamInfo{desc: prometheus.NewDesc("berth_upstream_info",
		"The configured upstreams; always 1. Join it on upstream to split pulls by hardened.",
		[]string{"upstream", "host", "hardened"}, nil)}
	i.current.Store(new([]config.Upstream))
	r.MustRegister(i)
	return i
}

func (i *upstreamInfo) replace(with []config.Upstream) { i.current.Store(&with) }

// Describe implements prometheus.Collector.
func (i *upstreamInfo) Describe(ch chan<- *prometheus.Desc) { ch <- i.desc }

// Collect implements prometheus.Collector.
func (i *upstreamInfo) Collect(ch chan<- prometheus.Metric) {
	for _, u := range *i.current.Load() {
		ch <- prometheus.MustNewConstMetric(i.desc, prometheus.GaugeValue, 1, u.Name, u.URL.Host, strconv.FormatBool(u.Hardened))
	}
}

// describeCertificate exports when the certificate of listen ceases to be valid.
func describeCertificate(c *server.Certificate, r prometheus.Registerer) {
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "berth_tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that listen shows expires, in Unix time.",
	}, func() float64 { return float64(c.Expires().Unix()) })
}

package upstream

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// hostsIll exports the hosts that are ill, of all Clients that are not retired.
type hostsIll struct {
	mu      sync.Mutex // guards clients
	clients []*breakers
}

var _ prometheus.Collector = (*hostsIll)(nil)

var hostsIllDesc = prometheus.NewDesc("berth_upstream_host_ill",
	"The hosts of upstreams that are ill: 1 slow, 2 down. There is none of those that are well.", []string{"upstream", "host"}, nil)

// Describe implements prometheus.Collector.
func (*hostsIll) Describe(ch chan<- *prometheus.Desc) { ch <- hostsIllDesc }

// Collect implements prometheus.Collector. Of two Clients by one name, in the moment of a
// reload, the later one tells.
func (h *hostsIll) Collect(ch chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	how := map[[2]string]float64{}
	for _, s := range h.clients {
		for _, c := range s.ill() {
			how[[2]string{s.upstream, c.Host}] = 1
			if c.Down {
				how[[2]string{s.upstream, c.Host}] = 2
			}
		}
	}
	for labels, value := range how {
		ch <- prometheus.MustNewConstMetric(hostsIllDesc, prometheus.GaugeValue, value, labels[:]...)
	}
}

// watch exports the hosts of s, until unwatch.
func (m *Metrics) watch(s *breakers) {
	if m != nil {
		m.hosts.mu.Lock()
		defer m.hosts.mu.Unlock()
		m.hosts.clients = append(m.hosts.clients, s)
	}
}

// unwatch ends watch.
func (m *Metrics) unwatch(s *breakers) {
	if m != nil {
		m.hosts.mu.Lock()
		defer m.hosts.mu.Unlock()
		m.hosts.clients = slices.DeleteFunc(m.hosts.clients, func(o *breakers) bool { return o == s })
	}
}

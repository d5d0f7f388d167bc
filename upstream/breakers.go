package upstream

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// maxHosts bounds the breakers of a Client: redirects choose their hosts.
const maxHosts = 64

// Condition is how a host of an upstream is: its own, its token service's, or one that it
// redirects to.
type Condition struct {
	// Host is "tokens of <host>" for a token service, which may be ill where the registry
	// on the same host is well.
	Host string
	// Down: it is asked by one request at a time, now and then, and by nobody else.
	// Otherwise it is slow: it has answered nobody for a while, and is asked as ever.
	Down bool
	// Since is when its failures began, Reason why the last of them was one.
	Since  time.Time
	Reason string
}

// breakers are those of the hosts that a Client asks.
type breakers struct {
	upstream string
	log      *slog.Logger
	metrics  *Metrics

	mu    sync.Mutex // guards hosts
	hosts map[string]*breaker
}

func newBreakers(upstream string, log *slog.Logger, m *Metrics) *breakers {
	return &breakers{upstream: upstream, log: log, metrics: m, hosts: map[string]*breaker{}}
}

// of is the breaker of host. Beyond the bound it is one that nobody shares.
func (s *breakers) of(host string) *breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.hosts[host]
	if b == nil {
		b = &breaker{host: host, owner: s}
		if len(s.hosts) == maxHosts {
			for name, other := range s.hosts {
				if other.idle() {
					delete(s.hosts, name)
				}
			}
		}
		if len(s.hosts) < maxHosts {
			s.hosts[host] = b
		}
	}
	return b
}

// down tells whether host is.
func (s *breakers) down(host string) bool {
	s.mu.Lock()
	b := s.hosts[host]
	s.mu.Unlock()
	if b == nil {
		return false
	}
	c, _ := b.condition()
	return c.Down
}

// ill returns the hosts that are down or slow, by name.
func (s *breakers) ill() []Condition {
	s.mu.Lock()
	hosts := make([]*breaker, 0, len(s.hosts))
	for _, b := range s.hosts {
		hosts = append(hosts, b)
	}
	s.mu.Unlock()
	var ill []Condition
	for _, b := range hosts {
		if c, is := b.condition(); is {
			ill = append(ill, c)
		}
	}
	slices.SortFunc(ill, func(a, b Condition) int { return cmp.Compare(a.Host, b.Host) })
	return ill
}

// Ailing tells whether asking the upstream is likely to bring nothing, or nothing soon:
// its own host, or one that its manifests or tokens come from, is down or slow, or many wait
// for their turn already. Whoever can do without need not wait.
func (c *Client) Ailing() bool {
	if c.gate.busy() {
		return true
	}
	c.hosts.mu.Lock()
	defer c.hosts.mu.Unlock()
	for _, b := range c.hosts.hosts {
		if b.ailing() {
			return true
		}
	}
	return false
}

// Ill returns the upstream's hosts that are down or slow, by name.
func (c *Client) Ill() []Condition { return c.hosts.ill() }

// tell logs and exports that b is ill. Its mu is held.
func (s *breakers) tell(b *breaker, message string) {
	level := 1
	if b.down {
		level = 2
	}
	s.metrics.ill(s.upstream, b.host, level)
	s.log.Warn(message, "upstream", s.upstream, "host", b.host, "since", b.since, "reason", b.reason)
}

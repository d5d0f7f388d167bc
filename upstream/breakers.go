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
	s := &breakers{upstream: upstream, log: log, metrics: m, hosts: map[string]*breaker{}}
	m.watch(s)
	return s
}

// of is the breaker of host, which is the upstream's own or chosen by it. Beyond the bound
// it is one that nobody shares.
func (s *breakers) of(host string, own bool) *breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.hosts[host]
	if b != nil {
		return b
	}
	b = &breaker{host: host, owner: s, own: own}
	if len(s.hosts) >= maxHosts && !own {
		s.evict()
	}
	if len(s.hosts) < maxHosts || own {
		s.hosts[host] = b
	}
	return b
}

// evict forgets the host that was asked longest ago. mu is held.
func (s *breakers) evict() {
	oldest, at := "", time.Time{}
	for host, b := range s.hosts {
		if may, asked := b.dispensable(); may && (oldest == "" || asked.Before(at)) {
			oldest, at = host, asked
		}
	}
	delete(s.hosts, oldest)
}

// spares tells whether host is down, so that a request about a repository is not sent.
func (s *breakers) spares(host, repository string) bool {
	s.mu.Lock()
	b := s.hosts[host]
	s.mu.Unlock()
	return b != nil && b.spares(repository)
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

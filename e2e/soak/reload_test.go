package soak_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/berth-cache/berth/e2e/soak/process"
)

// reloads has Berth read its configuration again and again while it works.
type reloads struct {
	*world
	// mu guards n, and the file: one worker at a time.
	mu sync.Mutex
	n  int
	// applied and refused are what Berth counted, at the end.
	applied, refused float64
}

// turn changes something that is worth a new upstream client, less content, or nothing at
// all, since the file is faulty.
func (r *reloads) turn(t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	config := r.config
	config.Upstreams, config.Cache = maps.Clone(config.Upstreams), maps.Clone(config.Cache)
	switch r.n % 4 {
	case 0:
		config.Cache["max_size"] = "much"
	case 1:
		config.Cache["max_size"] = "56MiB"
	case 2:
		changed := config.Upstreams["gamma"]
		changed.Hosts = append([]string{"other.test"}, changed.Hosts...)
		config.Upstreams["gamma"] = changed
	}
	r.Reload(t, config)
}

// end has the configuration be what it was at the beginning, and Berth know it.
func (r *reloads) end(t *testing.T) {
	t.Helper()
	faulty := r.config
	faulty.Cache = map[string]string{"max_size": "much"}
	r.settle(t, "refused", faulty)
	r.settle(t, "applied", r.config)
	m := r.Metrics(t)
	r.applied, r.refused = m[reloadsBy("applied")], m[reloadsBy("refused")]
}

// settle reloads and waits until that was counted.
func (r *reloads) settle(t *testing.T, result string, config process.Config) {
	t.Helper()
	// Those before may be under way still: until nothing more is counted they are.
	var before float64
	eventually(t, "earlier files are read", func() (bool, string) {
		now := r.Metrics(t)["berth_config_reloads_total"]
		same := now == before
		before = now
		return same, fmt.Sprint(now)
	})
	earlier := r.Metrics(t)[reloadsBy(result)]
	r.Reload(t, config)
	eventually(t, "a file is "+result, func() (bool, string) {
		m := r.Metrics(t)
		return m[reloadsBy(result)] > earlier, fmt.Sprint(m["berth_config_reloads_total"])
	})
}

func reloadsBy(result string) string {
	return fmt.Sprintf("berth_config_reloads_total{result=%q}", result)
}

package soak_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/origin"
	"github.com/berth-cache/berth/e2e/soak/process"
	"github.com/berth-cache/berth/e2e/soak/toxic"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

// coast is a world whose upstreams are reached over links of some weather.
type coast struct {
	*world
	ports []*harbour
}

// newCoast starts Berth with three upstreams: plain, with tokens and redirects, with TLS and
// HTTP/2. Each has a registry of its own, at a path of its name.
func newCoast(t *testing.T) *coast {
	t.Helper()
	w := &world{random: rand.New(rand.NewPCG(seed, 0))}
	w.library = truth.NewLibrary(seed, truth.Size{Repositories: 2, Images: 4, HugeBytes: 4 << 20}, "alpha", "beta", "gamma")
	w.config = process.Config{
		Upstreams: map[string]process.Upstream{}, Registries: map[string]process.Registry{},
		Log: map[string]string{"level": "warn"}, Cache: map[string]string{"min_free": "0"},
	}
	c := &coast{world: w}
	kinds := []origin.Options{{}, {Tokens: true, Storage: true}, {TLS: true}}
	for i, name := range []string{"alpha", "beta", "gamma"} {
		o := origin.New(t, name, w.library, kinds[i])
		p := &harbour{Origin: o, link: toxic.New(t, o.Addr)}
		u := process.Upstream{URL: o.URL(p.link.Addr), Validity: "1s", ListValidity: "1s", NegativeValidity: "1s"}
		if kinds[i].Tokens {
			u.Username, u.Password = origin.Username, origin.Password
		}
		if kinds[i].TLS {
			u.CAFile = filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(u.CAFile, o.Authority(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.config.Upstreams[name] = u
		w.config.Registries[name] = process.Registry{Upstreams: []string{name}, Path: name}
		w.origins = append(w.origins, o)
		c.ports = append(c.ports, p)
	}
	w.Berth = process.New(t, binary, w.config)
	w.Load = load.New(w.URL(), w.library)
	t.Cleanup(w.HangUp)
	w.Start(t)
	for _, p := range c.ports {
		p.load = w.At("/" + p.Name)
		for _, place := range w.library.Places {
			if place.Upstream == p.Name && strings.HasPrefix(place.Name, p.Name) {
				p.hold(t, place)
			}
		}
	}
	return c
}

// TestToxics: with upstreams behind every weather there is, what is held comes, in four
// seconds at the worst and soon at once; what comes is right; who is well is not held up by
// who is not; and nobody is asked more than is good for him.
func TestToxics(t *testing.T) {
	c := newCoast(t)
	began := c.rest(t)
	start := time.Now()
	var told []string
	toxics := 0
	for _, weathers := range courses() {
		told = append(told, c.sail(t, weathers))
		for _, w := range weathers {
			if w.Toxic != toxic.Fair.Toxic {
				toxics++
			}
		}
	}
	took := time.Since(start)
	for _, p := range c.ports {
		p.load.Settle(t.Context())
	}
	c.quiet(t)
	c.wantIdle(t, began)
	c.wantTreeAsReported(t)
	if c.Panics(t) {
		t.Error("the log tells of a panic or a race")
	}
	sum := c.total()
	sum.took = took
	t.Logf("%d courses with %d toxics\n%-36s %s\n%s\n%-36s %s", len(told), toxics,
		"weather (plain, tokens, TLS)", log{}.head(), strings.Join(told, "\n"), "all", sum)
	if status := c.Terminate(t); status != 0 {
		t.Errorf("ended with status %d", status)
	}
}

// courses are the weathers to go through, one for each upstream at a time.
func courses() [][]toxic.Weather {
	fair := []toxic.Weather{toxic.Fair, toxic.Fair, toxic.Fair}
	all := [][]toxic.Weather{
		fair,
		{toxic.Latency, toxic.SlowClose, toxic.Bandwidth},
		{toxic.Slicer, toxic.LimitData, toxic.ResetPeer},
		{toxic.LimitData, toxic.ResetPeer, toxic.Slicer},
		{toxic.Timeout, toxic.Stopped, toxic.Timeout},
	}
	if !full {
		return all
	}
	random := rand.New(rand.NewPCG(seed, 7))
	for _, w := range toxic.All {
		for i := range fair {
			one := slices.Clone(fair)
			one[i] = w
			all = append(all, one)
		}
		all = append(all, []toxic.Weather{w, w, w})
	}
	for range 6 {
		pick := func() toxic.Weather { return toxic.All[random.IntN(len(toxic.All))] }
		all = append(all, []toxic.Weather{pick(), pick(), pick()})
	}
	return all
}

// sail has fifty clients pull while the weather is so, and once more from those of whom
// Berth knows then that they are dead. It returns what there is to tell.
func (c *coast) sail(t *testing.T, weathers []toxic.Weather) string {
	t.Helper()
	var names []string
	for i, p := range c.ports {
		p.set(t, weathers[i])
		names = append(names, weathers[i].String())
	}
	began := time.Now()
	c.mixed(t)
	for _, p := range c.ports {
		p.wantModest(t, time.Since(began))
	}
	for _, p := range c.ports {
		if p.link.Weather().Dead {
			c.known(t, p)
		}
	}
	for _, p := range c.ports {
		p.link.Turn(t, toxic.Fair)
	}
	var sum log
	for _, p := range c.ports {
		c.again(t, p)
		sum = sum.plus(p.close())
	}
	sum.took = time.Since(began)
	return fmt.Sprintf("%-36s %s", strings.Join(names, ", "), sum)
}

// known waits until Berth knows that p is dead, and wants it to make nobody wait any more
// then, nor ask p more than now and then.
func (c *coast) known(t *testing.T, p *harbour) {
	t.Helper()
	want := 2.0
	if p.link.Weather().Toxic == toxic.Timeout.Toxic && !full {
		want = 1 // somebody has to wait in vain for 30 s before it is down
	}
	eventuallyWithin(t, time.Minute, p.Name+" is known to be dead", func() (bool, string) {
		p.pullHeld(t, c.random, p.held)
		how := c.illness(t, p)
		return how >= want, fmt.Sprintf("it is %g", how)
	})
	eventually(t, "nothing is on its way", func() (bool, string) {
		n := c.Metrics(t)["berth_fills_running"]
		return n == 0 || want < 2, fmt.Sprint(n)
	})
	before, began := p.Connections(), time.Now()
	var slowest atomic.Int64
	c.byMany(func(random *rand.Rand) {
		took := p.pullHeld(t, random, p.spare)
		for was := slowest.Load(); int64(took) > was && !slowest.CompareAndSwap(was, int64(took)); was = slowest.Load() {
		}
	})
	if took := time.Duration(slowest.Load()); took > knownWithin {
		t.Errorf("%s, known to be dead: somebody waited for %s", p.Name, took)
	}
	// A trial each second at most, and those that were on their way. Where it is only slow
	// there is one check for each tag.
	most := int(time.Since(began)/time.Second) + 2
	if want < 2 {
		most += len(p.spare)
	}
	if n := p.Connections() - before; n > most {
		t.Errorf("%s, known to be dead: %d connections, want %d at most", p.Name, n, most)
	}
}

// illness is how the host of manifests, or of tokens, is said to be: 0 well, 1 slow, 2 down.
func (c *coast) illness(t *testing.T, p *harbour) float64 {
	t.Helper()
	worst := 0.0
	for key, value := range c.Metrics(t) {
		if strings.HasPrefix(key, "berth_upstream_host_ill{") && strings.Contains(key, p.link.Addr) {
			worst = max(worst, value)
		}
	}
	return worst
}

// again waits until something new comes from p.
func (c *coast) again(t *testing.T, p *harbour) {
	t.Helper()
	place, image := c.library.ColdAt(c.random, p.Name)
	eventually(t, "something new comes from "+p.Name, func() (bool, string) {
		ending, detail := p.load.Pull(t.Context(), place, "v0", image)
		return ending == load.Right, detail
	})
	eventually(t, p.Name+" is well", func() (bool, string) {
		p.pullHeld(t, c.random, p.held)
		how := c.illness(t, p)
		return how == 0, fmt.Sprint(how)
	})
}

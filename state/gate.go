package state

import (
	"sync"
	"time"
)

// gateRest is how long a gate stays shut before it lets one call through to see.
const gateRest = time.Second

// gate stands before a server that may be down. A call that found it down shuts the gate:
// for gateRest every other call is refused at once, then one goes through as a probe, and
// the rest only when that came back. So a server that is down costs one slow call a second.
type gate struct {
	// mu guards the fields below it.
	mu      sync.Mutex
	closed  bool
	until   time.Time // when the next probe may go; zero while the gate is open
	probing bool
	cause   string

	// inside counts the calls that entered and are not done. It is added to only
	// under mu and before closed is set.
	inside sync.WaitGroup
}

// enter asks to call the server; refused, the error is an *outage. After the call, leave
// must be called with the same probe, and at the very end done.
func (g *gate) enter() (probe bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return false, &outage{text: "closed"}
	case g.until.IsZero():
	case g.probing || time.Now().Before(g.until):
		return false, &outage{text: g.cause}
	default:
		g.probing, probe = true, true
	}
	g.inside.Add(1)
	return probe, nil
}

// leave tells how the call ended, down being an outage of the server or nil, and returns
// whether that changed the gate. Only a probe opens it: a call that entered before the
// server went down proves nothing.
func (g *gate) leave(probe bool, down *outage) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if probe {
		g.probing = false
	}
	switch {
	case down != nil:
		changed = g.until.IsZero()
		g.until, g.cause = time.Now().Add(gateRest), down.text
	case probe:
		changed = true
		g.until, g.cause = time.Time{}, ""
	}
	return changed && !g.closed
}

// shut refuses every further call. It does not wait for those inside; wait does.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) done() { g.inside.Done() }

func (g *gate) wait() { g.inside.Wait() }

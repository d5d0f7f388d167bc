package state

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// enterGate enters and wants to be a probe or not.
func enterGate(t *testing.T, g *gate, wantProbe bool) {
	t.Helper()
	probe, err := g.enter()
	if err != nil || probe != wantProbe {
		t.Fatalf("enter = %v, %v, want %v", probe, err, wantProbe)
	}
}

func leaveGate(t *testing.T, g *gate, probe bool, down *outage) (changed bool) {
	t.Helper()
	defer g.done()
	return g.leave(probe, down)
}

func wantShut(t *testing.T, g *gate, cause string) {
	t.Helper()
	_, err := g.enter()
	if !errors.Is(err, ErrUnavailable) || err.Error() != ErrUnavailable.Error()+": "+cause {
		t.Errorf("enter = %v, want ErrUnavailable for %q", err, cause)
	}
}

func TestGate(t *testing.T) {
	dead := &outage{text: "dead", down: true}
	synctest.Test(t, func(t *testing.T) {
		g := new(gate)
		enterGate(t, g, false)
		enterGate(t, g, false)
		enterGate(t, g, false)
		if !leaveGate(t, g, false, dead) {
			t.Error("the first outage did not change the gate")
		}
		wantShut(t, g, "dead")
		time.Sleep(gateRest / 2)
		if leaveGate(t, g, false, nil) {
			t.Error("a call that began before the outage opened the gate")
		}
		wantShut(t, g, "dead")
		if leaveGate(t, g, false, dead) {
			t.Error("the second outage changed the gate again")
		}

		// The rest counts from the last outage; then one goes through, and only one.
		time.Sleep(gateRest - time.Nanosecond)
		wantShut(t, g, "dead")
		time.Sleep(time.Nanosecond)
		enterGate(t, g, true)
		time.Sleep(10 * gateRest)
		wantShut(t, g, "dead")
		if leaveGate(t, g, true, &outage{text: "still dead", down: true}) {
			t.Error("a probe that failed changed the gate")
		}
		wantShut(t, g, "still dead")

		time.Sleep(gateRest)
		enterGate(t, g, true)
		if !leaveGate(t, g, true, nil) {
			t.Error("a probe that came back did not change the gate")
		}
		enterGate(t, g, false)
		enterGate(t, g, false)
		leaveGate(t, g, false, nil)

		g.shut()
		wantShut(t, g, "closed")
		waited := false
		go func() {
			g.wait()
			waited = true
		}()
		synctest.Wait()
		if waited {
			t.Error("wait returned while a call was inside")
		}
		if leaveGate(t, g, false, dead) {
			t.Error("closing was reported as an outage")
		}
		synctest.Wait()
		if !waited {
			t.Error("wait did not return")
		}
	})
}

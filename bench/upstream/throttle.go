package upstream

import (
	"net"
	"sync"
	"time"
)

const (
	// pieceSize is how much is written between two looks at the clock, in bytes.
	pieceSize = 32 << 10
	// credit is how far a connection may run ahead of its schedule after a pause. It pays
	// for timers that fire late.
	credit = 5 * time.Millisecond
)

// throttle is a listener whose connections are as far away and as narrow as conditions
// say, and counted.
type throttle struct {
	net.Listener
	conditions Conditions
	counter    *counter
	closed     <-chan struct{} // ends the waiting of all connections
}

// Accept implements net.Listener.
func (t *throttle) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t.counter.connections.Add(1)
	return &farConn{Conn: c, throttle: t}, nil
}

// farConn answers after the latency and writes at its own pace.
type farConn struct {
	net.Conn
	throttle *throttle
	// met is done when the client has waited for the connection to be made.
	met sync.Once
	// due is when the bytes written so far would have left. Writes of a net.Conn by
	// net/http come one after the other.
	due time.Time
}

// Read waits, before the first byte, for the round trips that making a connection takes.
func (c *farConn) Read(p []byte) (int, error) {
	c.met.Do(func() {
		d := c.throttle.conditions.Latency
		if c.throttle.conditions.TLS {
			d *= 2
		}
		// Whoever closes the listener closes its connections too: Read tells so.
		_ = wait(c.throttle.closed, d)
	})
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *farConn) Write(p []byte) (int, error) {
	rate := c.throttle.conditions.BytesPerSecond
	if rate == 0 {
		return c.Conn.Write(p)
	}
	written := 0
	for written < len(p) {
		piece := p[written:min(len(p), written+pieceSize)]
		n, err := c.Conn.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		now := time.Now()
		if floor := now.Add(-credit); c.due.Before(floor) {
			c.due = floor
		}
		c.due = c.due.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		if !wait(c.throttle.closed, c.due.Sub(now)) {
			return written, net.ErrClosed
		}
	}
	return written, nil
}

// wait waits for d and tells whether it was not ended before.
func wait(end <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-end:
		return false
	}
}

package crowd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Silent adds n connections that never say anything.
func (c *Crowd) Silent(tb testing.TB, n int) {
	tb.Helper()
	c.each(tb, n, nil)
}

// Lingering adds n connections that ask once and stay.
func (c *Crowd) Lingering(tb testing.TB, n int) {
	tb.Helper()
	c.each(tb, n, func(conn net.Conn) error {
		return say(conn, "GET /v2/ HTTP/1.1\r\nHost: crowd\r\n\r\n", len("HTTP/1.1 200 OK"))
	})
}

// Stalled adds n connections that ask for what is at path and stop reading after take bytes.
func (c *Crowd) Stalled(tb testing.TB, n int, path string) {
	tb.Helper()
	const take = 64 << 10
	c.each(tb, n, func(conn net.Conn) error {
		return say(conn, "GET "+path+" HTTP/1.1\r\nHost: crowd\r\n\r\n", take)
	})
}

// Dribbling adds n connections that send a header byte by byte, one a tick, for as long as
// the crowd stays or they are let.
func (c *Crowd) Dribbling(tb testing.TB, n int, tick time.Duration) {
	tb.Helper()
	begin := "GET /v2/ HTTP/1.1\r\nHost: crowd\r\nx-"
	c.each(tb, n, func(conn net.Conn) error {
		c.doing.Go(func() {
			ticks := time.NewTicker(tick)
			defer ticks.Stop()
			for i := 0; ; i++ {
				next := "a"
				if i < len(begin) {
					next = begin[i : i+1]
				}
				select {
				case <-ticks.C:
				case <-c.ctx.Done():
					return
				}
				if _, err := io.WriteString(conn, next); err != nil {
					return // cut off, which is what ought to happen
				}
			}
		})
		return nil
	})
}

// Flooding has n clients send one header after the other that is too much: a megabyte of
// it, or thousands of lines. They go on until they are stopped, which waits for their end,
// or the crowd goes home.
func (c *Crowd) Flooding(n int) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	var flooding sync.WaitGroup
	long := "x: " + strings.Repeat("a", 1<<20) + "\r\n\r\n"
	var many strings.Builder
	for i := range 12_000 {
		fmt.Fprintf(&many, "x-%d: 1\r\n", i)
	}
	many.WriteString("\r\n")
	for i := range n {
		flood := []string{long, many.String()}[i%2]
		flooding.Go(func() {
			for ctx.Err() == nil {
				line, connected := c.flood("GET /v2/ HTTP/1.1\r\nHost: crowd\r\n" + flood)
				c.mu.Lock()
				c.floods[line]++
				c.mu.Unlock()
				if !connected {
					return
				}
			}
		})
	}
	c.doing.Go(flooding.Wait)
	return func() { cancel(); flooding.Wait() }
}

// flood sends a header and returns the first line of the answer, or what there was instead.
func (c *Crowd) flood(header string) (line string, connected bool) {
	conn, err := c.dial()
	if err != nil {
		return "no connection", false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return "no deadline", false
	}
	// The other side may answer and close before it has all; then there is no more to say.
	_, writeErr := io.WriteString(conn, header)
	line, err = bufio.NewReader(conn).ReadString('\n')
	switch {
	case err == nil:
		return strings.TrimSpace(line), true
	case writeErr != nil:
		return "closed", true
	}
	return "no answer", true
}

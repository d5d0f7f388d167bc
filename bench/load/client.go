package load

import (
	"context"
	"time"
)

// client asks over one connection, which it makes when it needs one.
type client struct {
	dialer *dialer
	conn   *conn
}

// ask asks and compares. Once, where a server has closed a connection between two
// requests, it asks again over a new one, as every client does.
func (c *client) ask(ctx context.Context, request []byte, t Target, head bool) (answer, error) {
	if c.conn != nil {
		kept := c.conn
		kept.used = false
		a, err := kept.ask(request, t, head)
		if err == nil || kept.used || ctx.Err() != nil {
			return a, c.after(a, err)
		}
		c.close()
	}
	var err error
	if c.conn, err = c.dialer.dial(ctx); err != nil {
		return answer{}, err
	}
	a, err := c.conn.ask(request, t, head)
	return a, c.after(a, err)
}

// after closes the connection unless another request can follow.
func (c *client) after(a answer, err error) error {
	if err != nil || a.last {
		c.close()
	}
	return err
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.close()
		c.conn = nil
	}
}

// timed asks and counts.
func (c *client) timed(ctx context.Context, n *tally, w wanted) {
	start := time.Now()
	if _, err := c.ask(ctx, w.request, w.target, w.head); err != nil {
		n.fail(err)
		return
	}
	n.requests++
	if !w.head {
		n.bytes += w.target.size()
	}
	n.latencies = append(n.latencies, time.Since(start))
}

// wanted is a target with the request for it.
type wanted struct {
	request []byte
	target  Target
	head    bool
}

package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connection is a client's connection and what it is doing.
type connection struct {
	net.Conn
	owner *connections
	// state is an http.ConnState. StateNew and StateIdle last until a request has come
	// whole, so that a client which trickles one counts as resting.
	state atomic.Int32
	// rests is when it was accepted or its last request ended, Unix ns.
	rests  atomic.Int64
	closed sync.Once
}

var _ io.ReaderFrom = (*connection)(nil)

func newConnection(c net.Conn, owner *connections) *connection {
	tracked := &connection{Conn: c, owner: owner}
	tracked.rests.Store(time.Now().UnixNano())
	return tracked
}

// changed is http.Server's ConnState. It is called twice a request.
func changed(c net.Conn, state http.ConnState) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	tracked, ok := c.(*connection)
	if !ok {
		return
	}
	if state == http.StateIdle {
		tracked.rests.Store(time.Now().UnixNano())
	}
	tracked.state.Store(int32(state)) //nolint:gosec // a handful of states
}

func (c *connection) active() bool { return http.ConnState(c.state.Load()) == http.StateActive }

// ReadFrom implements io.ReaderFrom: the kernel sends files, if the connection can. It does
// not wait for a client that is sent an Impatient.
func (c *connection) ReadFrom(r io.Reader) (int64, error) {
	if stretch, file := impatient(r); file != nil {
		if n, sent, err := c.sendFile(stretch, file); sent {
			return n, err
		}
		r = &io.LimitedReader{R: file, N: stretch.N}
	}
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite ends our side first, so that a client has read an error before the connection
// is reset; net/http looks for it.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *connection) Close() error {
	defer c.closed.Do(func() { c.owner.remove(c) })
	return c.Conn.Close()
}

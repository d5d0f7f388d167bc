package upstream

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// maxOwn is how many blobs have a connection of their own at most: as many as are kept for
// the next burst.
const maxOwn = idlePerHost

// lanes are the connections that blobs arrive over.
type lanes struct {
	shared atomic.Bool  // a blob is on the connection that HTTP/2 shares
	own    atomic.Int32 // so many have their own
}

// carrier chooses the transport of a request, and returns what is to be called, once or
// more, when it is over. HTTP/2 has everything on one connection, which registries throttle
// and where manifests queue behind layers: one blob at a time goes with it, so that a single
// small one needs no handshake. Others, and what another host stores, have connections of
// their own, up to maxOwn; those beyond share it after all.
func (c *Client) carrier(t trip) (transport *http.Transport, release func()) {
	if t.alone {
		return c.alone, func() {}
	}
	if !t.blob || t.url.Scheme == "http" {
		return c.transport, func() {}
	}
	if !t.redirected && c.lanes.shared.CompareAndSwap(false, true) {
		return c.transport, sync.OnceFunc(func() { c.lanes.shared.Store(false) })
	}
	if c.lanes.own.Add(1) > maxOwn {
		c.lanes.own.Add(-1)
		return c.transport, func() {}
	}
	return c.alone, sync.OnceFunc(func() { c.lanes.own.Add(-1) })
}

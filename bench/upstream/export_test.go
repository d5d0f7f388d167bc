package upstream

import (
	"net"
	"net/http"
)

// Far makes c as far away and as narrow as conditions say.
func Far(c net.Conn, conditions Conditions) net.Conn {
	return &farConn{Conn: c, throttle: &throttle{conditions: conditions, closed: make(chan struct{})}}
}

// Counted is w, and how many bytes were written to it.
func Counted(w http.ResponseWriter) (http.ResponseWriter, func() int64) {
	c := new(counter)
	return c.body(w), c.bytes.Load
}

package upstream

import "net"

// Far makes c as far away and as narrow as conditions say.
func Far(c net.Conn, conditions Conditions) net.Conn {
	return &farConn{Conn: c, throttle: &throttle{conditions: conditions, closed: make(chan struct{})}}
}

package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// address reads host:port to listen on. An empty one passes; the caller knows what it
// means.
func (v value) address(into *string) bool {
	var s string
	if v.node == nil {
		return true
	}
	if !v.word(&s) {
		return false
	}
	if s != "" && !validAddress(s) {
		return v.faultf("%s is no address to listen on; write host:port, such as 127.0.0.1:5000, [::1]:5000 or :5000", show(s))
	}
	*into = s
	return true
}

func validAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	return validName(strings.ToLower(host))
}

// overlap tells whether two valid addresses cannot both be listened on. It does not look
// names up, so localhost and 127.0.0.1 differ.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return strings.EqualFold(hostA, hostB) || everywhere(hostA) || everywhere(hostB)
}

func everywhere(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

// loopback tells whether an address can be reached from this machine alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

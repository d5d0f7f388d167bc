package config

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

var (
	dnsLabel = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	digits   = regexp.MustCompile(`^[0-9]+$`)
	// shared is the space of carrier-grade NAT (RFC 6598), private in practice.
	shared = netip.MustParsePrefix("100.64.0.0/10")
)

// parseHost reads host or host:port and returns it in lower case, addresses in their
// canonical form. It returns what is wrong, in words for a fault.
func parseHost(s string) (host, fault string) {
	const want = "; write only a host, such as registry.example.com or 10.0.0.7:5000"
	switch {
	case s == "":
		return "", "is empty" + want
	case strings.Contains(s, "@"):
		return "", "holds an @" + want // what stands before it may be a password
	case strings.Contains(s, "://"):
		return "", show(s) + " is a URL" + want
	case strings.Contains(s, "/"):
		return "", show(s) + " has a path" + want
	}
	name, port := s, ""
	if n, p, err := net.SplitHostPort(s); err == nil {
		name, port = n, p
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || !digits.MatchString(port) {
			return "", show(s) + " has no valid port; write a number from 1 to 65535 after the colon"
		}
		port = ":" + strings.TrimLeft(port, "0")
	}
	if strings.Contains(name, ":") && !strings.HasPrefix(s, "[") {
		return "", show(s) + " has colons; put an IPv6 address in brackets: [::1]:5000"
	}
	if strings.HasPrefix(s, "[") {
		addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.Contains(s, "]") {
			return "", show(s) + " is no IPv6 address" + want
		}
		return "[" + addr.String() + "]" + port, ""
	}
	name = strings.ToLower(name)
	if !validName(name) {
		return "", show(s) + " is no host name" + want
	}
	return name + port, ""
}

// validName tells whether name is an IPv4 address or a lower-case DNS name. Underscores
// pass: DNS servers and container networks have such names.
func validName(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !dnsLabel.MatchString(label) {
			return false
		}
	}
	return len(name) <= 253 && !digits.MatchString(labels[len(labels)-1])
}

// private tells whether a host without port is localhost or an address that only a
// private network has.
func private(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || shared.Contains(addr)
}

// undialable tells whether a host without port is an address that no registry has:
// link-local ones give out the credentials of cloud machines.
func undialable(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	return addr.IsUnspecified() || addr.IsLinkLocalUnicast() || addr.IsMulticast()
}

// hosts reads a list of hosts, each once.
func (v value) hosts() []pair {
	words, _ := v.words()
	var hosts []pair
	lines := map[string]int{}
	for _, w := range words {
		host, fault := parseHost(w.key)
		first, twice := lines[host]
		switch {
		case fault != "":
			w.faultf("%s", fault)
		case twice:
			w.faultf("%s is here twice, first in line %d; keep one", host, first)
		default:
			lines[host] = w.line
			hosts = append(hosts, pair{host, w.line, w.value})
		}
	}
	return hosts
}

// names returns the keys alone.
func names(pairs []pair) []string {
	var names []string
	for _, p := range pairs {
		names = append(names, p.key)
	}
	return names
}

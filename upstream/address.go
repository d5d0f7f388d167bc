package upstream

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// reach is where an address leads.
type reach int

const (
	public reach = iota
	// private needs Config.Private.
	private
	// never is refused to everybody: link-local addresses and metadata services, which
	// hand out the machine's own credentials to whoever asks.
	never
)

// neverPrefixes: link-local, and metadata services of clouds at other addresses.
var neverPrefixes = prefixes(
	"169.254.0.0/16", "fe80::/10",
	"fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
)

// privatePrefixes are not on the public internet, by the IANA special-purpose registries.
var privatePrefixes = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
	"3fff::/20", "5f00::/16", "fc00::/7", "fec0::/10", "ff00::/8",
)

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
	compatible = netip.MustParsePrefix("::/96")
	translated = netip.MustParsePrefix("::ffff:0:0:0/96")
)

// reachOf tells where addr leads. An IPv4 address inside an IPv6 one counts as itself,
// since a gateway may well deliver there.
func reachOf(addr netip.Addr) reach {
	addr = addr.Unmap().WithZone("")
	worst := public
	if inner, ok := embedded(addr); ok {
		worst = reachOf(inner)
	}
	for _, p := range neverPrefixes {
		if p.Contains(addr) {
			return never
		}
	}
	for _, p := range privatePrefixes {
		if p.Contains(addr) {
			worst = max(worst, private)
		}
	}
	return worst
}

// embedded returns the IPv4 address that an IPv6 transition address carries.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	last := [4]byte(b[12:16])
	switch {
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(addr): // the client's address is stored inverted
		var v4 [4]byte
		binary.BigEndian.PutUint32(v4[:], ^binary.BigEndian.Uint32(last[:]))
		return netip.AddrFrom4(v4), true
	case nat64.Contains(addr), localNAT64.Contains(addr), translated.Contains(addr):
		return netip.AddrFrom4(last), true
	case compatible.Contains(addr) && !addr.IsUnspecified() && !addr.IsLoopback():
		return netip.AddrFrom4(last), true
	default:
		return netip.Addr{}, false
	}
}

// literal returns the address that host is, if it is one.
func literal(host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// isLocalName says that a resolver answers host with this machine.
func isLocalName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// oddNumber says that host is no address as we write them, but ends in a number, which
// some resolvers read as one: 127.1, 2130706433, 0x7f.0.0.1.
func oddNumber(host string) bool {
	if _, ok := literal(host); ok {
		return false
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	label := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// An Address is the name or IP address of a host, with a port.
type Address struct {
	Host string // a name or an IP address without brackets
	Port uint16
}

// canonical is the host by which servers are told apart: names may differ in case and in the dot at their end.
func (a Address) canonical() string { return strings.ToLower(strings.TrimSuffix(a.Host, ".")) }

// String joins the two, with brackets around an IPv6 address.
func (a Address) String() string {
	if strings.Contains(a.Host, ":") {
		return "[" + a.Host + "]:" + strconv.Itoa(int(a.Port))
	}
	return a.Host + ":" + strconv.Itoa(int(a.Port))
}

// ParseAddress reads host, host:port, 192.0.2.1:port, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:port; port is the one
// to take when none is written. Text with more than one colon must be an IPv6 address.
func ParseAddress(s string, port uint16) (Address, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return Address{}, fmt.Errorf("%s is not an address: it has a space or a slash in it", quoted(s))
	}
	host, digits := s, ""
	switch {
	case strings.HasPrefix(s, "["):
		inner, rest, closed := strings.Cut(s[1:], "]")
		if !closed || rest != "" && !strings.HasPrefix(rest, ":") || !isIPv6(inner) {
			return Address{}, fmt.Errorf("%s is not an IPv6 address in brackets", quoted(s))
		}
		if host, digits = inner, strings.TrimPrefix(rest, ":"); rest != "" && digits == "" {
			return Address{}, fmt.Errorf("%s has no port after the colon", quoted(s))
		}
	case strings.Count(s, ":") > 1:
		if !isIPv6(s) {
			return Address{}, fmt.Errorf("%s has several colons but is not an IPv6 address", quoted(s))
		}
	case strings.Contains(s, ":"):
		if host, digits, _ = strings.Cut(s, ":"); digits == "" {
			return Address{}, fmt.Errorf("%s has no port after the colon", quoted(s))
		}
	}
	if host == "" {
		return Address{}, fmt.Errorf("%s has no host", quoted(s))
	}
	if digits != "" {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return Address{}, fmt.Errorf("the port of %s is not a number from 1 to 65535", quoted(s))
		}
		port = uint16(n)
	}
	return Address{host, port}, nil
}

func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6()
}

// peer reads an address; the port is left at zero when it is not written, since it depends on the mode.
var peer = kind[Address]{`"host" or "host:port"`, func(d *decoder, path string, v *value) (Address, bool) {
	if v.kind != stringValue {
		d.mismatch(path, v, `"host" or "host:port"`, "write it in quotes")
		return Address{}, false
	}
	a, err := ParseAddress(v.text, 0)
	if err != nil {
		d.problem(v.pos, path, err.Error(), `write "host", "host:port", "192.0.2.1:123" or "[2001:db8::1]:123"`)
		return Address{}, false
	}
	return a, true
}}

// socket reads an IP address and port to listen on.
var socket = kind[netip.AddrPort]{`"ip:port"`, func(d *decoder, path string, v *value) (netip.AddrPort, bool) {
	const hint = `write an IP address and a port such as "0.0.0.0:123" or "[::]:123"`
	if v.kind != stringValue {
		d.mismatch(path, v, `"ip:port"`, hint)
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddrPort(v.text)
	if err != nil {
		d.problem(v.pos, path, quoted(v.text)+" is not an address to listen on", hint)
		return netip.AddrPort{}, false
	}
	return a, true
}}

// ip reads a bare IP address. IPv4 addresses mapped into IPv6 are taken as IPv4.
var ip = kind[netip.Addr]{`"ip"`, func(d *decoder, path string, v *value) (netip.Addr, bool) {
	if v.kind != stringValue {
		d.mismatch(path, v, "an IP address in quotes", "")
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(v.text)
	if err != nil {
		d.problem(v.pos, path, quoted(v.text)+" is not an IP address", "write it without a port or a name")
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}}

// subnet reads a prefix in CIDR notation. Host bits are cleared; IPv4 mapped into IPv6 becomes IPv4, because clients of
// a socket for both families are matched as IPv4.
var subnet = kind[netip.Prefix]{`"ip/bits"`, func(d *decoder, path string, v *value) (netip.Prefix, bool) {
	if v.kind != stringValue {
		d.mismatch(path, v, `"ip/bits"`, "")
		return netip.Prefix{}, false
	}
	p, err := parseSubnet(v.text)
	if err != nil {
		d.problem(v.pos, path, err.Error(), `write "192.0.2.0/24" or "2001:db8::/32"`)
		return netip.Prefix{}, false
	}
	return p, true
}}

func parseSubnet(s string) (netip.Prefix, error) {
	address, bits, cut := strings.Cut(s, "/")
	if !cut {
		return netip.Prefix{}, fmt.Errorf("%s has no length after a slash", quoted(s))
	}
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%s does not begin with an IP address", quoted(s))
	}
	n, err := strconv.ParseUint(bits, 10, 8)
	if err != nil || int(n) > a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("the length of %s is not a number from 0 to %d", quoted(s), a.BitLen())
	}
	if a.Is4In6() {
		if n < 96 {
			return netip.Prefix{}, fmt.Errorf("%s reaches beyond the IPv4 addresses mapped into IPv6", quoted(s))
		}
		a, n = a.Unmap(), n-96
	}
	return netip.PrefixFrom(a, int(n)).Masked(), nil
}

// nameOrOff reads a host name whose empty string switches something off.
var nameOrOff = kind[string]{`"host", or "" for none`, func(d *decoder, path string, v *value) (string, bool) {
	if v.kind == stringValue && v.text == "" {
		return "", true
	}
	a, ok := peer.read(d, path, v)
	if ok && a.Port != 0 {
		d.problem(v.pos, path, "a port is written", "write the host alone; its servers are asked at port 123")
		return "", false
	}
	return a.Host, ok
}}

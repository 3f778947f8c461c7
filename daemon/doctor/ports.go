package doctor

import (
	"fmt"
	"net"
	"net/netip"
)

// socket is one that is open on this machine.
type socket struct {
	local netip.AddrPort
	inode string
}

// ports looks whether the addresses that the daemon serves on exist, and
// whether somebody else has them.
func (e *exam) ports() {
	for i := range e.cfg.Servers {
		s := &e.cfg.Servers[i]
		e.port("udp", s.At("listen").String(), s.Listen)
	}
	for i := range e.cfg.NTSKEServers {
		s := &e.cfg.NTSKEServers[i]
		e.port("tcp", s.At("listen").String(), s.Listen)
	}
}

func (e *exam) port(network, where string, at netip.AddrPort) {
	subject := fmt.Sprintf("%s %v", network, at)
	if a := at.Addr(); !a.IsUnspecified() && !isOurs(a) {
		e.fail("port", subject, "no interface of this machine has the address ("+where+")", "one of this machine's addresses",
			"listen on an address that this machine has, or on 0.0.0.0 or [::]")
		return
	}
	ours := e.machine.daemon(e.machine.ours)
	if why := e.machine.mayNotBind(at.Port()); why != "" && ours == nil {
		e.fail("capability", "CAP_NET_BIND_SERVICE", why+", so that nothing here can listen on port "+fmt.Sprint(at.Port())+" ("+where+")", "the capability",
			"grant it (container: --cap-add NET_BIND_SERVICE; systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or listen on a port from 1024 on")
		return
	}
	for _, s := range openSockets(network) {
		if s.local.Port() != at.Port() || !overlap(s.local.Addr(), at.Addr()) {
			continue
		}
		holders := e.machine.holders(s.inode)
		for _, p := range holders {
			if ours == nil || p.pid != ours.pid {
				e.fail("port", subject, "taken by "+p.String(), "free for our daemon", "stop that program, or choose another address in "+where)
				return
			}
		}
		if len(holders) == 0 && ours == nil {
			e.fail("port", subject, fmt.Sprintf("taken by another program (on %v)", s.local), "free for our daemon", "stop that program, or choose another address in "+where)
			return
		}
	}
	e.ok("port", subject, "free, or our daemon's")
}

// capBind is the bit of the capability that lets a process listen on low
// ports.
const capBind = 1 << 10

// mayNotBind says why nothing here can listen on a port, or nothing.
func (m *machine) mayNotBind(port uint16) string {
	switch {
	case m.bounding == 0 || port >= m.lowest:
		return ""
	case m.bounding&capBind == 0:
		return fmt.Sprintf("the bounding set (%#x) lacks it", m.bounding)
	case m.self.uid == 0 && m.self.caps&capBind == 0:
		return "root does not have it here"
	default:
		return ""
	}
}

// overlap reports whether two sockets on a port get in each other's way.
func overlap(a, b netip.Addr) bool {
	a, b = a.Unmap(), b.Unmap()
	switch {
	case a == b:
		return true
	case a.IsUnspecified():
		return a.Is6() || b.Is4()
	case b.IsUnspecified():
		return b.Is6() || a.Is4()
	default:
		return false
	}
}

// isOurs reports whether an address is one of this machine's.
func isOurs(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, own := range ownPrefixes() {
		if own.Addr() == a.WithZone("") {
			return true
		}
	}
	return false
}

// ownPrefixes are the addresses of this machine's interfaces.
func ownPrefixes() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok {
			if p, err := netip.ParsePrefix(ip.String()); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}

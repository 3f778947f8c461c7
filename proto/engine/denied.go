package engine

import (
	"net/netip"
	"slices"
)

// refusal is a server that told us to go away, and whether it said so under
// the keys of Network Time Security. Without them anyone on the path can say
// it, so it counts only for associations that anyone on the path can end
// anyway: "the client MUST discard unprotected responses to NTS-protected
// requests" (RFC 8915 section 5.7) holds for what such a response would do
// through another association, too.
type refusal struct {
	addr   netip.AddrPort
	secure bool
}

// maxRefusals bounds what a pool of servers that all refuse can make us
// remember.
const maxRefusals = 256

// demobilise obeys a DENY or RSTR: "the client MUST demobilize any
// associations to that server and stop sending packets to that server"
// (RFC 5905 section 7.4). The address is not used again, by any source that
// asks as the one did that was refused: with keys or without.
func (e *Engine) demobilise(addr netip.AddrPort, secure bool) {
	if !e.isDenied(addr, secure) {
		if len(e.denied) == maxRefusals {
			e.denied = slices.Delete(e.denied, 0, 1)
		}
		e.denied = append(e.denied, refusal{addr, secure})
	}
	e.lives(func(s *source, slot *slot, l *live) {
		if l.addr != addr || l.assoc.Secure() != secure {
			return
		}
		e.reportSource(s, l, Incident{
			Level: Warn, Code: "kiss-deny", Reason: ReasonDenied,
			Text: "the server refuses to serve us; it is not asked again. Ask its operator for access, or configure another source",
		})
		e.stop(s, slot, "the server refuses to serve us")
		slot.demobilised = s.cfg.Mode == ModeServer
		slot.keying.shun.add(l.server)
	})
}

func (e *Engine) isDenied(addr netip.AddrPort, secure bool) bool {
	return slices.Contains(e.denied, refusal{addr, secure})
}

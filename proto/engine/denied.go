package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
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
	until  proto.Instant // the server may be asked again
}

// refusalTime is how long a server is left alone that refused to serve us. RFC
// 5905 does not say for how long to stop; for ever would let whoever is on the
// path for one poll take a server away from a machine that nobody watches. One
// packet a day is nothing to a server that means it.
const refusalTime = 24 * time.Hour

// maxRefusals bounds what a pool of servers that all refuse can make us
// remember.
const maxRefusals = 256

// demobilise obeys a DENY or RSTR: "the client MUST demobilize any
// associations to that server and stop sending packets to that server"
// (RFC 5905 section 7.4). The address is not used for a day, by any source
// that asks as the one did that was refused: with keys or without.
func (e *Engine) demobilise(addr netip.AddrPort, secure bool) {
	until := e.now.Mono.Add(refusalTime)
	e.denied = slices.DeleteFunc(e.denied, func(r refusal) bool {
		return e.now.Mono >= r.until || r.addr == addr && r.secure == secure
	})
	if len(e.denied) == maxRefusals {
		e.denied = slices.Delete(e.denied, 0, 1)
	}
	e.denied = append(e.denied, refusal{addr, secure, until})
	e.lives(func(s *source, slot *slot, l *live) {
		if l.addr != addr || l.assoc.Secure() != secure {
			return
		}
		e.reportSource(s, l, Incident{
			Level: Warn, Code: "kiss-deny", Reason: ReasonDenied,
			Text: "the server refuses to serve us; it is left alone for a day. Ask its operator for access, or configure another source",
		})
		e.stop(s, slot, "the server refuses to serve us")
		if s.cfg.Mode == ModeServer {
			slot.barred = until
		}
		slot.keying.shun.add(l.server)
	})
}

func (e *Engine) isDenied(addr netip.AddrPort, secure bool) bool {
	return e.now.Mono < e.deniedUntil(addr, secure)
}

// deniedUntil is when a server may be asked again; zero when it may be now.
func (e *Engine) deniedUntil(addr netip.AddrPort, secure bool) proto.Instant {
	for _, r := range e.denied {
		if r.addr == addr && r.secure == secure {
			return r.until
		}
	}
	return 0
}

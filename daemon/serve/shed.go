package serve

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// A worker that is asked more than it can answer does not choose what it loses:
// the kernel drops what finds the socket's buffer full, whoever it is from. So
// as soon as the kernel drops, the socket is given a filter that refuses what
// would not be answered anyway, and most of what comes from those who are
// refused most often. It is taken away when there is nothing left to refuse.
// While nothing is dropped there is no filter, and every datagram is counted.
const (
	shedWindow = time.Second / 2 // at the end of which it is decided anew
	shedMost   = 32              // sources
	shedEnter  = 50              // requests over the limit in a window that make one
	shedStay   = 4               // of those that its quarter leaves that keep one
	shedQuiet  = 100             // datagrams that are dropped in a window: fewer, and it is over
)

// shedder decides for one socket. The zero value is ready.
type shedder struct {
	began   proto.Instant
	dropped uint32 // by the kernel, when the window began
	alert   bool   // something was dropped in the last window: count sources
	on      bool   // there is a filter
	counts  [shedMost]suspect
	shed    []netip.Addr // the sources in the filter
}

// suspect is a source that is refused often. Those that are refused most often
// stay in the table: a newcomer that finds it full takes one off each.
type suspect struct {
	source netip.Addr
	n      int
}

// count notes the verdict on a request.
func (s *shedder) count(from netip.Addr, v server.Verdict) {
	if !s.alert || v != server.RateLimited && v != server.RateKissed {
		return
	}
	source := network(from)
	free := -1
	for i := range s.counts {
		switch c := &s.counts[i]; {
		case c.n > 0 && c.source == source:
			c.n++
			return
		case c.n == 0:
			free = i
		}
	}
	if free >= 0 {
		s.counts[free] = suspect{source, 1}
		return
	}
	for i := range s.counts {
		s.counts[i].n--
	}
}

// network is what the rate limit takes for one client: an IPv4 address or an
// IPv6 /64.
func network(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is4() {
		return a
	}
	b := a.As16()
	clear(b[8:])
	return netip.AddrFrom16(b)
}

// decide ends a window that is over, given how many datagrams the kernel has
// dropped since the socket was opened. change says that the filter is to be
// put in place or, if on is false, taken away.
func (s *shedder) decide(now proto.Instant, dropped uint32) (change bool) {
	if now.Sub(s.began) < shedWindow {
		return false
	}
	more := dropped - s.dropped
	s.began, s.dropped = now, dropped
	was := s.on
	s.alert = more > 0
	s.on = more >= shedQuiet || more > 0 && !was // a filter drops too: little of that is the end
	before := s.shed
	s.shed = s.worst()
	s.counts = [shedMost]suspect{}
	if !s.on {
		s.shed = nil
	}
	return s.on != was || s.on && !same(before, s.shed)
}

// worst are the sources that the next filter refuses.
func (s *shedder) worst() (list []netip.Addr) {
	for _, c := range s.counts {
		least := shedEnter
		if slices.Contains(s.shed, c.source) {
			least = shedStay
		}
		if c.n >= least {
			list = append(list, c.source)
		}
	}
	return list
}

// same reports whether two lists without doubles have the same addresses.
func same(a, b []netip.Addr) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x netip.Addr) bool { return !slices.Contains(b, x) })
}

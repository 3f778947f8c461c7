package doctor

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/probe"
)

// problem reports what is wrong with one source: a failure, unless enough
// others are left.
func (e *exam) problem(check, subject, measured, expected, fix string) {
	_, _, agreeing := e.agreement()
	if agreeing >= e.needed() {
		e.warn(check, subject, measured, expected, fix)
		return
	}
	e.fail(check, subject, measured, expected, fix)
}

// judgeSources says what is wrong with each source, and first what is wrong
// with all of them.
func (e *exam) judgeSources() {
	e.localFirewall()
	e.wrongAddress()
	for _, v6 := range []bool{false, true} {
		e.family(v6)
	}
	e.exchangePorts()
	for _, s := range e.sources {
		if s.said {
			continue
		}
		if s.secure() {
			e.judgeSecure(s)
		} else {
			e.judgePlain(s)
		}
	}
}

// localFirewall finds what this machine itself forbids.
func (e *exam) localFirewall() {
	for _, s := range e.sources {
		for _, a := range s.udp() {
			if a.Verdict == probe.Forbidden && !s.said {
				s.said = true
				e.problem("local-firewall", a.To.String(), "this machine does not let the request out: "+a.Detail, "outgoing UDP to port "+fmt.Sprint(a.To.Port()),
					"allow it in this machine's own firewall (nft list ruleset)")
			}
		}
	}
}

// wrongAddress finds servers that have several addresses and answer from
// another than was asked: a client that knows whom it asked hears nothing.
func (e *exam) wrongAddress() {
	for _, s := range e.sources {
		for i := range s.plain {
			if from := s.elsewhere[i]; from.IsValid() && !s.said {
				s.said = true
				e.problem("source", fmt.Sprintf("%s (%v)", s.name, s.plain[i].To), fmt.Sprintf("its answers come from %v instead of the address that was asked", from),
					"answers from the address that was asked", "ask its operator to mend that, or name "+from.Addr().String())
			}
		}
	}
}

// tally is what came back from the servers of one address family.
type tally struct {
	asked, came      int
	silent, rejected []*probe.Answer
	mute             []*source // sources of which nothing came in this family
	hosts            map[netip.Addr]bool
	alive            string // how we know that one of them is there
}

func (e *exam) tallyOf(v6 bool) tally {
	t := tally{hosts: map[netip.Addr]bool{}}
	for _, s := range e.sources {
		before, here := t.came, false
		for _, a := range s.udp() {
			if a.To.Addr().Is4() == v6 || s.said {
				continue
			}
			t.asked, here = t.asked+1, true
			t.hosts[a.To.Addr()] = true
			switch a.Verdict {
			case probe.NoAnswer:
				t.silent = append(t.silent, a)
			case probe.Refused, probe.NoRoute:
				t.rejected = append(t.rejected, a)
			default:
				t.came++
			}
		}
		if here && t.came == before {
			t.mute = append(t.mute, s)
		}
	}
	return t
}

// family looks whether UDP works at all in an address family.
func (e *exam) family(v6 bool) {
	name := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
	t := e.tallyOf(v6)
	switch {
	case t.asked == 0:
		return
	case t.came > 0:
		e.ok("udp-"+name, "", fmt.Sprintf("%d of %d requests over UDP were answered", t.came, t.asked))
		return
	case len(t.silent) > 0:
		t.alive = e.alive(t.silent)
	}
	if len(t.hosts) < 2 && t.alive == "" {
		return // one host, which may just be down: judged alone
	}
	for _, s := range t.mute {
		s.said = s.said || onlyFamily(s, v6)
	}
	e.problem("udp-"+name, fmt.Sprintf("UDP port %d", t.port()), t.words(name), "an answer",
		"allow outgoing UDP to port 123 in the firewalls on the way; where that is not to be had, use servers with NTS that negotiate another port, or a PTP clock of the host")
}

func (t *tally) port() uint16 {
	for _, a := range append(t.silent, t.rejected...) {
		return a.To.Port()
	}
	return 0
}

func (t *tally) words(name string) string {
	w := fmt.Sprintf("filtered: no answer from any of %d servers over %s (%d stay silent", len(t.hosts), name, len(t.silent))
	if len(t.rejected) > 0 {
		w += fmt.Sprintf(", %d are rejected: %s", len(t.rejected), t.rejected[0].Detail)
	}
	w += ")"
	if t.alive != "" {
		w += ", although " + t.alive
	}
	return w
}

func onlyFamily(s *source, v6 bool) bool {
	for _, a := range s.udp() {
		if a.To.Addr().Is4() == v6 {
			return false
		}
	}
	return true
}

// alive looks whether silent hosts are there: by a key exchange that
// connected, or by a port unreachable from a port that nobody uses.
func (e *exam) alive(silent []*probe.Answer) (evidence string) {
	hosts := map[netip.Addr]bool{}
	for _, a := range silent {
		hosts[a.To.Addr()] = true
	}
	for _, s := range e.sources {
		if c := s.check; c != nil {
			for _, t := range c.TCP {
				if t.Error == "" && hosts[t.Address.Addr()] {
					return fmt.Sprintf("TCP to %v works", t.Address)
				}
			}
		}
	}
	for a := range hosts {
		port := uint16(33434 + e.now.Nanosecond()%1000)
		if probe.Ask(e.ctx, probe.Question{To: netip.AddrPortFrom(a, port), Timeout: time.Second}).Verdict == probe.Refused {
			return fmt.Sprintf("%v is up (it rejects UDP port %d)", a, port)
		}
	}
	return ""
}

// exchangePorts looks whether TCP to key exchanges works in each family. A
// source of which no address connects is judged alone.
func (e *exam) exchangePorts() {
	type count struct {
		open, asked int
		why         string
	}
	counts := map[string]*count{"IPv4": {}, "IPv6": {}}
	for _, s := range e.sources {
		if s.check == nil {
			continue
		}
		for _, t := range s.check.TCP {
			c := counts[familyOf([]netip.Addr{t.Address.Addr()})]
			if c.asked++; t.Error == "" {
				c.open++
			} else {
				c.why = t.Error
			}
		}
	}
	open := counts["IPv4"].open + counts["IPv6"].open
	for _, name := range []string{"IPv4", "IPv6"} {
		switch c := counts[name]; {
		case c.open > 0:
			e.ok("tcp-"+name, "", fmt.Sprintf("%d of %d connections to key exchanges opened", c.open, c.asked))
		case c.asked > 0 && open > 0:
			e.warn("tcp-"+name, "key exchange", fmt.Sprintf("filtered: none of %d connections over %s opened (%s), while the other family works", c.asked, name, c.why), "a connection",
				"allow outgoing TCP to port 4460 over "+name+" in the firewalls on the way, or take "+name+" away from this machine")
		}
	}
}

// short reports whether fewer agree than must.
func (e *exam) short() bool {
	_, _, agreeing := e.agreement()
	return agreeing < e.needed()
}

// judgePlain is one source without NTS.
func (e *exam) judgePlain(s *source) {
	if len(s.plain) == 0 {
		return
	}
	worst, good := (*probe.Answer)(nil), 0
	for i := range s.plain {
		a := &s.plain[i]
		if a.Verdict == probe.Answered {
			why, fix := e.fit(a)
			if why == "" {
				good++
				continue
			}
			if len(s.plain) == 1 || !s.pool() {
				s.said = true
				e.problem("source", fmt.Sprintf("%s (%v)", s.name, a.To), why, "a source that the daemon uses", fix)
				return
			}
		}
		if worst == nil || a.Verdict.Came() {
			worst = a
		}
	}
	if few := len(s.found); s.pool() && few < s.Count && e.short() {
		e.warn("source", s.name, fmt.Sprintf("the name has %d addresses, and count asks for %d", few, s.Count), fmt.Sprintf("%d addresses", s.Count), "add sources, or lower count")
	}
	if worst == nil || s.pool() && good > 0 && good >= min(s.Count, len(s.plain)) {
		e.ok("source", s.name, fmt.Sprintf("%d of %d addresses answer, offset %s", good, len(s.plain), probe.Signed(*s.good()[0].Offset)))
		return
	}
	s.said = good == 0
	subject := fmt.Sprintf("%s (%v)", s.name, worst.To)
	if e.wrongPort(worst) {
		e.problem("source", subject, worst.Sentence()+", while its UDP port 123 answers NTP", "the time",
			"leave the port away: NTP is asked on port 123; 4460 is the TCP port of key exchanges, for mode = \"nts\"")
		return
	}
	e.problem("source", subject, worst.Sentence(), "the time", e.sourceFix(worst))
}

// wrongPort reports whether nothing came from an unusual port, and something
// does from the usual one.
func (e *exam) wrongPort(a *probe.Answer) bool {
	const usual = 123
	return !a.Verdict.Came() && a.To.Port() != usual && e.patiently(netip.AddrPortFrom(a.To.Addr(), usual)).Verdict.Came()
}

func (e *exam) sourceFix(a *probe.Answer) string {
	switch a.Verdict {
	case probe.NoAnswer:
		if alive := e.alive([]*probe.Answer{a}); alive != "" {
			return "the host is there (" + alive + "), so NTP with it is filtered or off: ask its operator, or use another server"
		}
		return "the host answers nothing else either: it is gone, or filtered; use another server"
	case probe.Refused:
		return "no NTP server runs there any more: use another"
	case probe.Unsynchronised:
		return "use another server until its operator has mended it"
	case probe.Kissed:
		return "it does not want this client: use another server, or ask its operator"
	default:
		return "use another server"
	}
}

// judgeMembers says what is wrong with the servers that a pool with NTS gives
// out.
func (e *exam) judgeMembers(s *source, where string) {
	if s.Mode != config.ModeNTSPool {
		return
	}
	for i := range s.members {
		if m := &s.members[i]; m.Severity != probe.OK {
			e.problem("nts", fmt.Sprintf("%s of %s", m.Host, where), m.Text, "NTP with NTS", "tell the pool's operator; the daemon asks the pool for another")
		}
	}
	if good := len(s.good()); good < s.Count && e.short() {
		e.warn("nts", where, fmt.Sprintf("the pool gives %d servers that can be used, and count asks for %d", good, s.Count), fmt.Sprintf("%d servers", s.Count), "add sources, or lower count")
	}
}

// judgeSecure is one source with NTS: the check has found the words.
func (e *exam) judgeSecure(s *source) {
	c := s.check
	if c == nil {
		return
	}
	where := fmt.Sprintf("%s port %d", s.name, s.Address.Port)
	switch c.Severity {
	case probe.OK:
		if why, fix := e.fit(c.Secure); why != "" {
			s.said = true
			e.problem("source", where, why, "a source that the daemon uses", fix)
			return
		}
		e.ok("nts", where, c.Sentence)
		e.judgeMembers(s, where)
	case probe.Warning:
		e.warn("nts", where, c.Sentence, "", c.Fix)
	default:
		s.said = true
		e.problem("nts", where, c.Sentence, "NTP with NTS", c.Fix)
	}
}

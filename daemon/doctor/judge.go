package doctor

import (
	"fmt"
	"net/netip"
	"time"

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

// family looks whether UDP works at all in an address family.
func (e *exam) family(v6 bool) {
	name := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
	var silent []*probe.Answer
	var mute []*source
	came, asked := 0, 0
	for _, s := range e.sources {
		quiet, any := true, false
		for _, a := range s.udp() {
			if a.To.Addr().Is4() == v6 || s.said {
				continue
			}
			asked, any = asked+1, true
			switch {
			case a.Verdict == probe.NoAnswer:
				silent = append(silent, a)
			default:
				quiet = false
				if a.Verdict.Came() || a.Verdict == probe.Refused {
					came++
				}
			}
		}
		if any && quiet {
			mute = append(mute, s)
		}
	}
	switch {
	case asked == 0:
		return
	case came > 0:
		e.ok("udp-"+name, "", fmt.Sprintf("%d of %d requests over UDP were answered", came, asked))
		return
	case len(silent) == 0:
		return
	}
	hosts, alive := e.alive(silent)
	if len(hosts) < 2 && alive == "" {
		return // one host, which may just be down: judged alone
	}
	for _, s := range mute {
		s.said = s.said || onlyFamily(s, v6)
	}
	evidence := ""
	if alive != "" {
		evidence = ", although " + alive
	}
	e.problem("udp-"+name, fmt.Sprintf("UDP port %d", silent[0].To.Port()),
		fmt.Sprintf("filtered: no answer from any of %d servers over %s (%d requests)%s", len(hosts), name, attempts*len(silent), evidence), "an answer",
		"allow outgoing UDP to port 123 in the firewalls on the way; where that is not to be had, use servers with NTS that negotiate another port, or a PTP clock of the host")
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
func (e *exam) alive(silent []*probe.Answer) (hosts map[netip.Addr]bool, evidence string) {
	hosts = map[netip.Addr]bool{}
	for _, a := range silent {
		hosts[a.To.Addr()] = true
	}
	for _, s := range e.sources {
		if c := s.check; c != nil {
			for _, t := range c.TCP {
				if t.Error == "" && hosts[t.Address.Addr()] {
					return hosts, fmt.Sprintf("TCP to %v works", t.Address)
				}
			}
		}
	}
	for a := range hosts {
		port := uint16(33434 + e.now.Nanosecond()%1000)
		if probe.Ask(e.ctx, probe.Question{To: netip.AddrPortFrom(a, port), Timeout: time.Second}).Verdict == probe.Refused {
			return hosts, fmt.Sprintf("%v is up (it rejects UDP port %d)", a, port)
		}
	}
	return hosts, ""
}

// exchangePorts looks whether TCP to key exchanges works at all.
func (e *exam) exchangePorts() {
	open, asked := 0, 0
	for _, s := range e.sources {
		if s.check == nil {
			continue
		}
		for _, t := range s.check.TCP {
			asked++
			if t.Error == "" {
				open++
			}
		}
	}
	if open > 0 {
		e.ok("tcp-4460", "", fmt.Sprintf("%d of %d connections to key exchanges opened", open, asked))
	}
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
	if worst == nil || s.pool() && good > 0 && good >= min(s.Count, len(s.plain)) {
		e.ok("source", s.name, fmt.Sprintf("%d of %d addresses answer, offset %s", good, len(s.plain), probe.Signed(*s.good()[0].Offset)))
		return
	}
	s.said = good == 0
	e.problem("source", fmt.Sprintf("%s (%v)", s.name, worst.To), worst.Sentence(), "the time", e.sourceFix(worst))
}

func (e *exam) sourceFix(a *probe.Answer) string {
	switch a.Verdict {
	case probe.NoAnswer:
		if _, alive := e.alive([]*probe.Answer{a}); alive != "" {
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
	case probe.Warning:
		e.warn("nts", where, c.Sentence, "", c.Fix)
	default:
		s.said = true
		e.problem("nts", where, c.Sentence, "NTP with NTS", c.Fix)
	}
}

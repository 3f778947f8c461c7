package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

func itoa[V ~int | ~int8](n V) string { return strconv.Itoa(int(n)) }

// resolve fills in what depends on several keys and reports combinations without a meaning.
func (d *decoder) resolve(c *Config) {
	defaults := &c.SourceDefaults
	defaults.Poll = d.resolvePoll(&defaults.Table, "source-defaults", &defaults.limits, defaults.initial, Poll{})
	for i := range c.Sources {
		d.resolveSource(&c.Sources[i], defaults.Poll)
	}
	for i := range c.NTSKEServers {
		s := &c.NTSKEServers[i]
		s.LonglivedConnections = s.ConcurrentConnections / 10
		if s.longlived != nil {
			s.LonglivedConnections = *s.longlived
		}
	}
	s := &c.Synchronization
	s.MinimumAgreeingSources = Derived(c.Expected())
	if s.minimum != nil {
		s.MinimumAgreeingSources = *s.minimum
	}
	s.AccumulatedStepPanic = Unlimited
	if s.accumulated != nil && *s.accumulated > 0 {
		s.AccumulatedStepPanic = seconds(*s.accumulated)
	}
	o := &c.Observability
	o.ControlPath = o.controlPath()
	if o.control != nil {
		o.ControlPath = *o.control
	}
	d.apart(c)
}

// apart reports addresses that two sections of a kind listen on: the second could not be opened, or would silently take
// a share of the clients under rules of its own.
func (d *decoder) apart(c *Config) {
	seen := map[netip.AddrPort]Pos{}
	for i := range c.Servers {
		d.once(seen, c.Servers[i].Listen, &c.Servers[i].Table, "server.listen")
	}
	clear(seen)
	for i := range c.NTSKEServers {
		d.once(seen, c.NTSKEServers[i].Listen, &c.NTSKEServers[i].Table, "nts-ke-server.listen")
	}
}

func (d *decoder) once(seen map[netip.AddrPort]Pos, a netip.AddrPort, t *Table, path string) {
	if !a.IsValid() || a.Port() == 0 {
		return
	}
	if first, taken := seen[a]; taken {
		d.problem(t.At("listen"), path, fmt.Sprintf("%s is already listened on by the section at line %d", a, first.Line), "give each section an address of its own")
		return
	}
	seen[a] = t.Pos
}

// Expected counts the sources that the configuration can lead to: one for each server, nts, sock, phc and csptp, count
// for each pool and nts-pool, none for a pps, which cannot vote.
func (c *Config) Expected() int {
	n := 0
	for _, s := range c.Sources {
		switch s.Mode {
		case ModePool, ModeNTSPool:
			n += s.Count
		case ModePPS:
		default:
			n++
		}
	}
	return n
}

// Voters counts those of the Expected sources that can ever have a vote: all of them, unless nts-selection asks for NTS.
// Others then only count towards the sources that must agree, beside one that has a vote.
func (c *Config) Voters() int {
	if c.Synchronization.NTSSelection != NTSRequired {
		return c.Expected()
	}
	n := 0
	for i := range c.Sources {
		switch c.Sources[i].Mode {
		case ModeNTS:
			n++
		case ModeNTSPool:
			n += c.Sources[i].Count
		}
	}
	return n
}

// Derived is the number of sources that must agree when the file does not say: a majority of n, but three are enough.
// It comes from the configuration and not from who answers, so that silencing sources does not lower it.
func Derived(n int) int { return min(3, n/2+1) }

// CanSteer reports whether enough sources are configured to ever agree, one with a vote among them. Without sources there is nothing to steer to.
func (c *Config) CanSteer() bool {
	return len(c.Sources) == 0 || c.Voters() > 0 && c.Expected() >= c.Synchronization.MinimumAgreeingSources
}

// check warns of what can be run but hardly is what was meant.
func (d *decoder) check(c *Config) {
	sync := &c.Synchronization
	switch {
	case len(c.Sources) == 0:
		d.warnings = append(d.warnings, Warning{Pos: Pos{File: c.Pos.File}, Info: true,
			Text: "no sources are configured: the clock is never steered"})
	case c.Expected() == 0:
		d.warnings = append(d.warnings, Warning{Pos: c.Sources[0].Pos, Key: "source", FailsValidate: true,
			Text: "the clock can never be steered: no configured source has a vote; add one that is neither a pps nor an empty pool"})
	case c.Voters() == 0:
		d.warnings = append(d.warnings, Warning{Pos: sync.At("nts-selection"), Key: "synchronization.nts-selection", FailsValidate: true,
			Text: `the clock can never be steered: with "require" only sources with NTS have a vote, and none is configured; add one of mode nts or nts-pool, or write "outvote"`})
	case !c.CanSteer():
		d.warnings = append(d.warnings, Warning{
			Pos: sync.At("minimum-agreeing-sources"), Key: "synchronization.minimum-agreeing-sources", FailsValidate: true,
			Text: fmt.Sprintf("the clock can never be steered: %d must agree but no more than %d are configured; add sources or lower it",
				sync.MinimumAgreeingSources, c.Expected())})
	}
	d.checkTwice(c)
	d.checkColdStart(c)
	for i := range c.NTSKEServers {
		d.checkServed(c, &c.NTSKEServers[i])
	}
	d.checkPermissions(c)
}

// checkColdStart warns of a bounded cold start that can never have a quorum: one key exchange server is one opinion there,
// however many servers it names.
func (d *decoder) checkColdStart(c *Config) {
	sync := &c.Synchronization
	if sync.NTSColdStart != ColdStartBounded || !c.CanSteer() {
		return
	}
	plain, named := 0, map[string]bool{}
	for i := range c.Sources {
		switch s := &c.Sources[i]; {
		case s.SRVResolution:
			return // there may be several behind the name
		case s.Mode == ModeNTS || s.Mode == ModeNTSPool:
			named[s.Address.canonical()] = true
		case s.Mode == ModePool:
			plain += s.Count
		case s.Mode != ModePPS:
			plain++
		}
	}
	if n := plain + len(named); len(named) > 0 && n < sync.MinimumAgreeingSources {
		d.warn(sync.At("nts-cold-start"), "synchronization.nts-cold-start", fmt.Sprintf(
			"a clock that begins at a wrong date can never be set: %d sources must agree, and the certificates of all that are configured hang on %d key exchange servers; add sources with others, or lower minimum-agreeing-sources",
			sync.MinimumAgreeingSources, len(named)))
	}
}

// checkTwice warns of servers that are written twice: each time has a vote, so that one server agrees with itself. Names
// may differ in case and in the dot at their end. Pools give other servers each time.
func (d *decoder) checkTwice(c *Config) {
	type server struct {
		mode Mode
		host string
		port uint16
	}
	seen := map[server]Pos{}
	for i := range c.Sources {
		s := &c.Sources[i]
		if s.Mode != ModeServer && s.Mode != ModeNTS {
			continue
		}
		this := server{s.Mode, s.Address.canonical(), s.Address.Port}
		if first, twice := seen[this]; twice {
			d.warn(s.At("address"), "source.address", fmt.Sprintf("%s is already the source at line %d: one server would have two votes and agree with itself; remove one of them", s.Address, first.Line))
			continue
		}
		seen[this] = s.Pos
	}
}

// checkServed warns of an NTS-KE server that sends clients to an NTP server which is not there.
func (d *decoder) checkServed(c *Config, s *NTSKEServer) {
	if s.NTPServer != "" { // elsewhere, perhaps
		return
	}
	port := uint16(PortNTP)
	if s.NTPPort != 0 {
		port = s.NTPPort
	}
	for _, version := range s.AcceptNTPVersions {
		if slices.ContainsFunc(c.Servers, func(n Server) bool {
			return n.Listen.Port() == port && slices.Contains(n.AcceptNTPVersions, version)
		}) {
			continue
		}
		d.warnings = append(d.warnings, Warning{Pos: s.Pos, Key: "nts-ke-server", FailsValidate: true,
			Text: fmt.Sprintf("sends clients to port %d of this host for NTPv%d, but no [[server]] listens there for it; add one, or set ntp-server or ntp-port", port, version)})
	}
}

// checkPermissions warns of 666 where 0o666 was meant.
func (d *decoder) checkPermissions(c *Config) {
	o := &c.Observability
	if !o.Has("observation-permissions") {
		return
	}
	decimal := strconv.FormatUint(uint64(o.ObservationPermissions), 10)
	if octal, err := strconv.ParseUint(decimal, 8, 32); err == nil && octal <= 0o777 && o.ObservationPermissions > 0o777 {
		d.warn(o.At("observation-permissions"), "observability.observation-permissions",
			fmt.Sprintf("%s is %O in octal; mode bits are written 0o%s", decimal, o.ObservationPermissions, decimal))
	}
}

// ModeWarning warns of a configuration file that others may write to. The mode is the file's, as stat gives it.
func ModeWarning(name string, mode uint32) (Warning, bool) {
	if mode&0o002 == 0 {
		return Warning{}, false
	}
	return Warning{Pos: Pos{File: name}, Text: "unrestricted config file permissions: others can write it; run chmod o-w"}, true
}

// Without takes the sources away that a function picks, as if they were not in the file. The sources that must agree are
// derived anew unless they are written.
func (c *Config) Without(gone func(*Source) bool) {
	var kept []Source
	for i := range c.Sources {
		if !gone(&c.Sources[i]) {
			kept = append(kept, c.Sources[i])
		}
	}
	c.Sources = kept
	if c.Synchronization.minimum == nil {
		c.Synchronization.MinimumAgreeingSources = Derived(c.Expected())
	}
}

package engine

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/client"
)

// "the client SHOULD keep at least one unused but recent cookie, AEAD keys,
// negotiated AEAD algorithm, and other necessary parameters in persistent
// storage. This way, the client is able to resume the NTP session without
// performing renewed NTS-KE negotiation" (RFC 8915 section 5.7).
//
// No cookie is used twice, however the program ends, by one rule: what is
// stored is not in any jar, and never gets into one. While the engine runs it
// sets a few cookies aside for the store, and what newer ones replace there is
// thrown away. What a start takes out of the store is gone from there, for
// good, before the engine sees it. Only the last Keep has the jars: nothing is
// sent after it.

// Session is what a key exchange gave, with cookies that nobody used yet.
type Session struct {
	For       Asked
	Trust     string // names the authorities that vouched for the server
	KeyHost   string // that gave the keys
	KeyPort   uint16
	Remote    netip.Addr     // its address
	Server    string         // NTP server
	Addr      netip.AddrPort // where it answered
	Algorithm aead.Algorithm
	C2S, S2C  Secret
	Cookies   []Secret // the oldest first
	// Spare, of a session that is restored, are cookies that are still in the
	// store.
	Spare    []Secret  `json:",omitempty"`
	NotAfter time.Time // end of the validity of the certificates
	At       time.Time // when the newest cookie came
}

// Asked is what of a configured source its sessions depend on. A session of a
// source that is configured differently is of no use.
type Asked struct {
	Mode      Mode
	Host      string
	Port      uint16
	Authority string `json:",omitempty"`
	SRV       bool   `json:",omitempty"`
	Route     Route
}

const (
	// spareCookies is how many cookies of a session are in the store while the
	// engine runs: a start uses half of them, so that one which ends early
	// leaves the other half to the next, and both can do with a lost packet.
	spareCookies = 4
	// spareInterval is how often those are replaced.
	spareInterval = time.Hour
	// leastJar is how many cookies must be left when one is set aside.
	leastJar = 4
	// maxKept is how many cookies of a session are stored at the end: a jar.
	maxKept = 8
	// keepGap lies between two Keep.
	keepGap = 16 * time.Second
	// maxSessionAge is the age from which a session is not resumed. Servers
	// renew the key of their cookies daily or weekly and still know a few older
	// ones (RFC 8915 section 6), so older cookies would rather be refused. It
	// also bounds how long a key on disk is of use to whoever finds it.
	maxSessionAge = 7 * 24 * time.Hour
)

// keeping is what a live server needs for its session to be kept.
type keeping struct {
	session *Session // without cookies; nil for one that is not kept
	spare   [][]byte // in the store
	spareAt time.Time
	staged  [][]byte      // to take their place
	due     proto.Instant // the next replacement
	heard   time.Time     // the last answer while the clock was set
	resumed bool          // and no answer since
}

// store is what is known about what the shell keeps.
type store struct {
	changed bool
	next    proto.Instant // the earliest Keep
}

func (s *source) asked() Asked {
	c := &s.cfg
	return Asked{Mode: c.Mode, Host: c.Host, Port: c.Port, Authority: c.Authority, SRV: c.SRV, Route: c.Route}
}

// keepable begins to keep a session that was established. Behind a proxy
// nothing is kept: the addresses of servers are the proxy's.
func (e *Engine) keepable(s *source, l *live, ev *KeysEstablished) {
	e.store.changed = e.store.changed || len(l.keeping.spare) > 0
	l.keeping = keeping{}
	if !e.cfg.KeepSessions || s.cfg.Route.Proxy != "" {
		return
	}
	l.keeping.session = &Session{
		For: s.asked(), Trust: ev.Trust, KeyHost: l.ke.host, KeyPort: l.ke.port, Remote: ev.Remote.Addr(), Server: ev.Server,
		Algorithm: ev.Algorithm, C2S: ev.C2S, S2C: ev.S2C, NotAfter: ev.NotAfter,
	}
}

// setAside takes a cookie for the store when a server answered. What it has is
// dated, so the clock must be right.
func (e *Engine) setAside(l *live) {
	k := &l.keeping
	if k.session == nil || !e.serving.synced || !l.assoc.Authentic() {
		return
	}
	k.heard = e.calendar()
	if e.now.Mono < k.due {
		return
	}
	c, ok := l.assoc.SetAside(leastJar)
	if !ok {
		return
	}
	k.staged = append(k.staged, c)
	if len(k.staged) > len(k.spare) || len(k.staged) == spareCookies {
		k.spare, k.spareAt, e.store.changed = slices.Clone(k.staged), k.heard, true
	}
	if len(k.staged) == spareCookies {
		k.staged, k.due = nil, e.now.Mono.Add(spareInterval)
	}
}

// keep has the shell store what changed.
func (e *Engine) keep() {
	if !e.store.changed || e.now.Mono < e.store.next {
		return
	}
	e.store.changed, e.store.next = false, e.now.Mono.Add(keepGap)
	e.emit(Keep{Sessions: e.sessions(func(l *live) ([][]byte, time.Time) { return l.keeping.spare, l.keeping.spareAt })})
}

func (v *store) deadline() proto.Instant {
	if !v.changed {
		return proto.Never
	}
	return v.next
}

// ending has the shell store every cookie that nobody used. The engine sends
// nothing afterwards.
func (e *Engine) ending() {
	e.halted = true
	keyed := slices.ContainsFunc(e.sources, func(s *source) bool { return s.ke != nil })
	if !e.cfg.KeepSessions || !keyed && !e.store.changed {
		return
	}
	e.emit(Keep{Sessions: e.sessions(func(l *live) ([][]byte, time.Time) {
		k := &l.keeping
		_, jar := l.assoc.Credentials()
		all := slices.Concat(k.spare, jar)
		for _, c := range k.staged { // which may be what is in the store
			if !slices.ContainsFunc(k.spare, func(s []byte) bool { return bytes.Equal(s, c) }) {
				all = append(all, c)
			}
		}
		return all[max(len(all)-maxKept, 0):], k.heard
	})})
}

// sessions are those that have cookies and a date: the server answered while the
// clock was set.
func (e *Engine) sessions(cookies func(*live) ([][]byte, time.Time)) []Session {
	var all []Session
	e.lives(func(_ *source, _ *slot, l *live) {
		if l.keeping.session == nil {
			return
		}
		unused, at := cookies(l)
		if len(unused) == 0 || at.IsZero() {
			return
		}
		x := *l.keeping.session
		x.Addr, x.At = l.addr, at
		for _, c := range unused {
			x.Cookies = append(x.Cookies, c)
		}
		all = append(all, x)
	})
	return all
}

// restore goes on with sessions of the last run, each with one server of the
// source that it is for. What cannot be used leaves the store.
func (e *Engine) restore(ev Restored) {
	for i := range ev.Sessions {
		x := &ev.Sessions[i]
		why := "no source is configured that it is for"
		done := false
		for _, s := range e.sources {
			if !e.cfg.KeepSessions || done || s.asked() != x.For {
				continue
			}
			if why = e.resume(s, x); why == "" {
				done = true
			}
		}
		if !done {
			e.store.changed = true
			e.report(Incident{Level: Info, Code: "session-dropped", Name: x.For.Host, Text: "what was kept of a key exchange is not used: " + why})
		}
	}
}

// resume goes on with a session, or says why not.
func (e *Engine) resume(s *source, x *Session) (why string) {
	t := s.vacant(x.Server)
	p, expired := e.proofOfSession(x)
	switch {
	case t == nil:
		return "the source has its servers"
	case expired != "":
		return expired
	case s.cfg.Route.Proxy != "" || x.Addr.Port() == 0 || !x.Algorithm.Supported():
		return "it does not hold what a server is asked with"
	}
	fit := e.candidates(s, t, bounded(s.elsewhere([]netip.Addr{x.Addr.Addr()}, x.Remote), 1), x.Addr.Port())
	cookies := octets(x.Cookies)
	keys, err := newKeys(&KeysEstablished{Algorithm: x.Algorithm, C2S: x.C2S, S2C: x.S2C})
	if len(fit) == 0 || len(cookies) == 0 || err != nil {
		return "the server's address is in use or of no use, or there are no cookies left"
	}
	e.startAt(s, t, fit, x.Addr.Port(), x.Server, keys, cookies)
	l := t.live
	l.ke = e.keyServer(x.KeyHost, x.KeyPort)
	base := *x
	base.Cookies, base.Spare = nil, nil
	l.keeping = keeping{session: &base, spare: octets(x.Spare), spareAt: x.At, heard: x.At, resumed: true}
	t.proof, t.keying.notAfter = p, x.NotAfter
	e.reportSource(s, l, Incident{Level: Info, Code: "session-resumed", Text: "going on with the keys and cookies of the last run; no key exchange is needed"})
	e.toldProvisional(s, t)
	return ""
}

// vacant is a slot for a server of a source, which is not to have it twice.
func (s *source) vacant(server string) *slot {
	var free *slot
	for _, t := range s.slots {
		switch {
		case t.live != nil && canonical(t.live.server) == canonical(server):
			return nil
		case t.live == nil && t.keying.request == 0 && t.keying.keys == nil && free == nil:
			free = t
		}
	}
	return free
}

// proofOfSession says why a session is too old, or what it proves about the
// time. A clock that shows a time before the session is certainly wrong; then
// only a bounded cold start goes on with it, as with a certificate of another
// time.
func (e *Engine) proofOfSession(x *Session) (proof, string) {
	now, until := e.calendar(), x.At.Add(maxSessionAge)
	if x.NotAfter.Before(until) {
		until = x.NotAfter
	}
	switch {
	case x.At.IsZero() || x.At.After(x.NotAfter):
		return proof{}, "the certificate had expired"
	case now.After(x.NotAfter):
		return proof{}, "the certificate has expired"
	case now.After(until):
		return proof{}, "it is too old"
	case !now.Before(x.At):
		return proof{}, ""
	case e.earliest().IsZero():
		return proof{}, "the clock shows a time before it"
	}
	return proof{provisional: true, from: x.At, to: until}, ""
}

// octets are the cookies that can be of use.
func octets(cookies []Secret) [][]byte {
	var all [][]byte
	for _, c := range cookies {
		if client.UsableCookie(c) {
			all = append(all, c)
		}
	}
	return all
}

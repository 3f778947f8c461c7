package server

import (
	"io"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// Requirement says what happens to requests without NTS.
type Requirement uint8

// Requirements.
const (
	NTSOptional Requirement = iota
	NTSOrIgnore             // plain requests are dropped
	NTSOrDeny               // plain requests get a DENY kiss
)

// Versions is a set of NTP versions.
type Versions uint8

// Version3And4 is the versions that a Responder knows how to answer.
const Version3And4 Versions = 1<<3 | 1<<4

// With adds a version, 0–7.
func (v Versions) With(version uint8) Versions { return v | 1<<(version&7) }

// Has reports whether a version, 0–7, is in the set.
func (v Versions) Has(version uint8) bool { return v>>(version&7)&1 != 0 }

// Config is how a server treats its clients. Access and Limiter may be shared
// between responders.
type Config struct {
	Access     *AccessList  // nil: everyone
	Limiter    *RateLimiter // nil: no limit
	RequireNTS Requirement
	Versions   Versions // versions other than 3 and 4 are never answered
}

// Responder answers requests. It belongs to one goroutine: it keeps buffers
// between calls. Several may share a Config.
type Responder struct {
	cfg       Config
	nonces    nonces
	plaintext []byte
	cookie    []byte
	cookies   cookie.Worker
	client    aead.Local // with the client's keys
}

// maxPlaintext is room for what a request or a response commonly hides; more
// is allocated when it is needed.
const maxPlaintext = 2048

// New makes a responder. entropy is a cryptographically secure source for the
// nonces of NTS.
func New(cfg Config, entropy io.Reader) *Responder {
	cfg.Versions &= Version3And4
	return &Responder{
		cfg:       cfg,
		nonces:    nonces{entropy: entropy},
		plaintext: make([]byte, 0, maxPlaintext),
		cookie:    make([]byte, 0, maxPlaintext/maxCookies),
	}
}

// Respond appends the response to q to dst, or nothing, and says which. The
// payload must not overlap dst's spare capacity.
//
// s says what is known about the clock, nil that nothing is; k opens and seals
// cookies, and with nil there is no NTS. now reads the clock that is served; it
// is called once and as late as possible, and returns 0 when it failed.
//
// A response is never longer than the request (RFC 8915 section 8.4).
func (r *Responder) Respond(dst []byte, q Request, s *TimeSnapshot, k *cookie.Keyset, now func() proto.Timestamp) ([]byte, Verdict) {
	// 1. Who asks, and how often.
	if q.misdirected() {
		return dst, WrongTarget
	}
	allowed, otherwise := r.cfg.Access.Check(q.From.Addr())
	if !allowed && otherwise == Ignore {
		return dst, Refused
	}
	limit := Within
	if allowed {
		limit = r.cfg.Limiter.Check(q.Mono, q.From.Addr())
	}
	if limit == Over {
		return dst, RateLimited
	}
	// 2. What is asked.
	m, v := parse(q.Payload, r.cfg.Versions)
	if v != Accepted {
		return dst, v
	}
	if !m.nts() && r.cfg.RequireNTS == NTSOrIgnore {
		return dst, NTSRequired
	}
	// 3. The answer.
	if limit == Kiss {
		return kiss(dst, &m, proto.KissRate, max(m.Poll, r.cfg.Limiter.Poll())), RateKissed
	}
	if m.nts() {
		return r.protected(dst, &q, &m, s, k, now, allowed)
	}
	if !allowed || r.cfg.RequireNTS == NTSOrDeny {
		return kiss(dst, &m, proto.KissDeny, m.Poll), Denied
	}
	h, ok := answer(&q, &m, s, now)
	if !ok {
		return dst, NoTime
	}
	return appendUniqueID(h.Append(dst), m.uniqueID), Accepted
}

// answer is the header of a response with the time (RFC 5905 figure 31). The
// transmit timestamp is read in here: call it last.
func answer(q *Request, m *query, s *TimeSnapshot, now func() proto.Timestamp) (proto.Header, bool) {
	if q.Rx.At.IsZero() {
		return proto.Header{}, false
	}
	if s == nil {
		s = &unpublished
	}
	h := s.header(q.Mono)
	h.Version = m.Version
	h.Mode = proto.ModeServer
	h.Poll = m.Poll
	h.Origin = m.Transmit
	h.Receive = q.Rx.At
	h.Transmit = now()
	if h.Transmit.IsZero() {
		return h, false
	}
	// The response cannot leave before the request arrived. Within the error
	// of two readings that is noise; beyond it the clock was set meanwhile, and
	// both timestamps together would be wrong for the client.
	if early := h.Receive.Sub(h.Transmit); early > setBack {
		return h, false
	} else if early > 0 {
		h.Transmit = h.Receive
	}
	return h, true
}

// setBack is how far the transmit timestamp must lie before the receive
// timestamp to show that the clock was set: well above the error of converting
// a timestamp and well below a step worth making.
const setBack = proto.Second / 1000

// kiss appends a kiss-o'-death packet (RFC 5905 section 7.4). It says that the
// server is unsynchronised, for the sake of clients that do not look at the
// stratum, and its timestamps other than the origin are zero: they are
// "undefined when in a KoD packet".
func kiss(dst []byte, m *query, code proto.RefID, poll int8) []byte {
	h := kissHeader(m, code, poll)
	return appendUniqueID(h.Append(dst), m.uniqueID)
}

func kissHeader(m *query, code proto.RefID, poll int8) proto.Header {
	return proto.Header{
		Leap:    proto.LeapUnsynchronised,
		Version: m.Version,
		Mode:    proto.ModeServer,
		Poll:    poll,
		RefID:   code,
		Origin:  m.Transmit,
	}
}

// appendUniqueID echoes the unique identifier: "All server packets generated by
// NTS-implementing servers in response to client packets containing this
// extension field MUST also contain this field with the same content as in the
// client's request" (RFC 8915 section 5.3).
func appendUniqueID(b, id []byte) []byte {
	if id == nil {
		return b
	}
	// It came out of a field that it fits again.
	b, _ = proto.AppendField(b, proto.FieldUniqueIdentifier, id, proto.MinFieldLen)
	return b
}

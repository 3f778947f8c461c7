package probe

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// fieldPadding is an extension field that no server knows: "Experimental and
// Private Use" begins at 0xF000 (RFC 7822 section 8 leaves unknown fields to
// be ignored). It makes a plain request as long as one with NTS.
const fieldPadding proto.FieldType = 0xF521

// request is one that is on its way.
type request struct {
	octets   []byte
	nonce    proto.Timestamp
	uniqueID []byte // with NTS
}

// newRequest encodes a question. Version, mode and the random transmit field
// are all that it says of this machine.
func newRequest(q *Question) (*request, error) {
	var seed [8 + proto.UniqueIDLen]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	r := &request{nonce: proto.Timestamp(binary.BigEndian.Uint64(seed[:8]) | 1)}
	h := proto.Header{Version: 4, Mode: proto.ModeClient, Transmit: r.nonce}
	r.octets = h.Append(nil)
	var err error
	if q.Session == nil {
		if q.Pad > 0 {
			value := make([]byte, max(q.Pad, proto.MinLastFieldLen)-4)
			r.octets, err = proto.AppendField(r.octets, fieldPadding, value, proto.MinLastFieldLen)
		}
		return r, err
	}
	r.uniqueID = seed[8:]
	r.octets, err = q.Session.seal(r.octets, r.uniqueID, q.Placeholders)
	return r, err
}

// seal adds the fields of RFC 8915 section 5.7 to a header.
func (s *Session) seal(b, uniqueID []byte, placeholders int) ([]byte, error) {
	cookie, ok := s.take()
	if !ok {
		return nil, errors.New("no cookie is left")
	}
	b, err := proto.AppendField(b, proto.FieldUniqueIdentifier, uniqueID, proto.MinFieldLen)
	if err != nil {
		return nil, err
	}
	if b, err = proto.AppendField(b, proto.FieldCookie, cookie, proto.MinFieldLen); err != nil {
		return nil, err
	}
	zeros := make([]byte, len(cookie))
	for range placeholders {
		if b, err = proto.AppendField(b, proto.FieldCookiePlaceholder, zeros, proto.MinFieldLen); err != nil {
			return nil, err
		}
	}
	nonce := make([]byte, s.c2s.NonceLen())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.AppendField(b, s.c2s, nonce, nil)
}

// judge reads a datagram. ok is false for one that is no reply to the
// request: another may come.
func (r *request) judge(datagram []byte, s *Session, a *Answer) (ok bool) {
	p, err := proto.ParsePacket(datagram)
	if err != nil {
		a.Verdict, a.Detail = Malformed, err.Error()
		return false
	}
	if p.Origin != r.nonce {
		a.Verdict, a.Detail = Mismatched, ""
		if bytes.Equal(datagram, r.octets) {
			a.Detail = "it sends back what it gets: that is no NTP server"
		}
		return false
	}
	a.fill(&p.Header)
	a.ReplyOctets = len(datagram)
	switch {
	case p.Mode != proto.ModeServer:
		a.Verdict, a.Detail = Malformed, "its mode is not that of a server"
		return false
	case s != nil:
		return r.authenticate(&p, datagram, s, a)
	}
	a.Verdict = Answered
	return true
}

// authenticate finds out whether a reply to an NTS request is protected.
func (r *request) authenticate(p *proto.Packet, datagram []byte, s *Session, a *Answer) bool {
	var id []byte
	var auth *proto.Field
	for f := range p.All() {
		switch f.Type {
		case proto.FieldUniqueIdentifier:
			id = f.Value
		case proto.FieldAuthenticator:
			auth = &f
		}
		if auth != nil {
			break
		}
	}
	code, kiss := p.Kiss()
	switch {
	case auth == nil && kiss && code == proto.KissNTSN:
		a.Verdict = Rejected
	case auth == nil && kiss:
		a.Verdict = Kissed
	case auth == nil:
		a.Verdict = Stripped
	case !bytes.Equal(id, r.uniqueID):
		a.Verdict, a.Detail = Forged, "its unique identifier is not the request's"
	default:
		plaintext, err := aead.OpenField(nil, datagram, *auth, s.s2c)
		if err != nil {
			a.Verdict, a.Detail = Forged, "its authenticator is not made with the key that was agreed"
			return true
		}
		a.Verdict, a.Authenticated = Answered, true
		for f := range proto.Inner(plaintext) {
			if f.Type == proto.FieldCookie {
				s.give(f.Value)
				a.Cookies++
			}
		}
	}
	return true
}

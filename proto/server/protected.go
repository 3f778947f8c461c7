package server

import (
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// maxCookies is how many cookies a response brings at most: what a client
// stores, and what one placeholder for each but one can ask for: "The client
// SHOULD NOT include more than seven NTS Cookie Placeholder extension fields"
// (RFC 8915 section 5.7). It bounds the encryption that one request can cause.
const maxCookies = 8

// protected answers a request with NTS.
//
// "If the server is unable to validate the cookie or authenticate the request,
// it SHOULD respond with a Kiss-o'-Death (KoD) packet with kiss code "NTSN"...
// It MUST NOT include any NTS Cookie or NTS Authenticator and Encrypted
// Extension Fields extension fields" (RFC 8915 section 5.7). A client that is
// on the deny list hears DENY instead.
func (r *Responder) protected(dst []byte, q *Request, m *query, s *TimeSnapshot, k *cookie.Keyset, now func() proto.Timestamp, allowed bool) ([]byte, Verdict) {
	if k == nil {
		return dst, NoKeys
	}
	keys, inner, ok := r.open(q.Payload, m, k)
	switch {
	case !ok && !allowed:
		return kiss(dst, m, proto.KissDeny, m.Poll), Denied
	case !ok:
		return kiss(dst, m, proto.KissNTSN, m.Poll), NAKed
	}
	hidden, ok := hiddenPlaceholders(inner, len(m.cookie))
	if !ok {
		return dst, Malformed
	}
	reply, ok := r.prepare(k, keys, min(1+m.placeholders+hidden, maxCookies))
	if !ok {
		return dst, Failed
	}
	h, v := kissHeader(m, proto.KissDeny, m.Poll), DeniedNTS
	if allowed {
		if h, ok = answer(q, m, s, now); !ok {
			return dst, NoTime
		}
		v = AcceptedNTS
	}
	out, err := aead.AppendField(appendUniqueID(h.Append(dst), m.uniqueID), &r.client, reply.nonce, reply.plaintext)
	if err != nil {
		return dst, Failed
	}
	return out, v
}

// open recovers the keys from the cookie, authenticates the request and
// decrypts what it hides: "use the cookie to recover the AEAD algorithm, C2S
// key, and S2C key associated with the request, and then use the C2S key to
// authenticate the packet and decrypt the ciphertext" (RFC 8915 section 5.7).
// keys are valid until the next call, inner until prepare.
func (r *Responder) open(payload []byte, m *query, k *cookie.Keyset) (keys cookie.Contents, inner []byte, ok bool) {
	keys, err := r.cookies.Open(k, m.cookie)
	if err != nil {
		return keys, nil, false
	}
	if err = r.client.Set(keys.Algorithm, keys.C2S); err != nil {
		return keys, nil, false
	}
	inner, err = aead.OpenField(r.plaintext[:0], payload, m.auth, &r.client)
	if err != nil {
		return keys, nil, false
	}
	return keys, inner, true
}

// hiddenPlaceholders counts the placeholders among the encrypted fields, and
// checks that none of those is there that "MUST NOT be encrypted" (RFC 8915
// section 5.7), nor a second authenticator.
func hiddenPlaceholders(inner []byte, length int) (n int, ok bool) {
	if proto.CheckInner(inner) != nil {
		return 0, false
	}
	for f := range proto.Inner(inner) {
		if isNTS(f.Type) && f.Type != proto.FieldCookiePlaceholder {
			return 0, false
		}
	}
	return countPlaceholders(inner, 0, innerFieldLen, length), true
}

// innerFieldLen is the least length of an encrypted field: its header.
const innerFieldLen = 4

// reply is the part of a protected response that does not need the time. Its
// slices are valid until the next call.
type reply struct {
	nonce     []byte
	plaintext []byte // of the authenticator: the new cookies
}

// prepare seals n new cookies for the client and sets the key for the response.
// Each cookie is as long as the one the client sent, whose room in the request
// it takes, or that of a placeholder: that is what keeps the response from being
// longer than the request.
func (r *Responder) prepare(k *cookie.Keyset, keys cookie.Contents, n int) (reply, bool) {
	random, ok := r.nonces.take(cookie.NonceLen * (n + 1))
	if !ok {
		return reply{}, false
	}
	newest, plaintext := k.Newest(), r.plaintext[:0]
	for i := range n {
		var err error
		r.cookie, err = r.cookies.Seal(newest, r.cookie[:0], keys, random[cookie.NonceLen*i:][:cookie.NonceLen])
		if err != nil {
			return reply{}, false
		}
		plaintext, err = proto.AppendField(plaintext, proto.FieldCookie, r.cookie, innerFieldLen)
		if err != nil {
			return reply{}, false
		}
	}
	r.plaintext = plaintext
	if r.client.Set(keys.Algorithm, keys.S2C) != nil {
		return reply{}, false
	}
	return reply{random[cookie.NonceLen*n:][:r.client.NonceLen()], plaintext}, true
}

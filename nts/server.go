package nts

import (
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Server is what a key-exchange server says of itself. It does not change
// while it is in use, and its methods may be called from several goroutines.
type Server struct {
	NTPServer string // for the Server record; empty: no record
	NTPPort   uint16 // for the Port record; 0: no record
}

// Sealer makes one cookie that holds the algorithm and the two keys, and that
// the NTP server can open.
type Sealer func(a aead.Algorithm, c2s, s2c []byte) ([]byte, error)

// Session is what a server knows about the connection of a request.
type Session struct {
	Export Exporter
	Seal   Sealer

	// KeepAlive grants a pool's wish to keep the connection. It is ignored
	// where the request had none.
	KeepAlive bool

	// Reused is set from the second message of a connection on.
	Reused bool
}

// Answer is what a server has answered; every value is counted.
type Answer uint8

// The answers.
const (
	AnsweredKeyExchange  Answer = iota // cookies for the client's own keys
	AnsweredFixedKey                   // cookies for the keys of a pool's client
	AnsweredInformation                // what the server supports
	AnsweredNames                      // the names of its NTP servers
	AnsweredNoProtocol                 // no protocol in common
	AnsweredNoAlgorithm                // no algorithm in common
	AnsweredUnrecognized               // Error 0
	AnsweredBadRequest                 // Error 1
	AnsweredInternal                   // Error 2
)

// String is the answer's name for logs and metrics.
func (a Answer) String() string {
	names := [...]string{
		"key-exchange", "fixed-key", "information", "names", "no-protocol",
		"no-algorithm", "unrecognized-critical-record", "bad-request", "internal-error",
	}
	if int(a) < len(names) {
		return names[a]
	}
	return "invalid"
}

// supportedProtocols are those whose cookies a Server gives.
var supportedProtocols = []Protocol{NTPv4}

// supportedAlgorithms is the list for pools, strongest first.
var supportedAlgorithms = []aead.Algorithm{aead.AESSIVCMAC512, aead.AESSIVCMAC256}

// AppendError appends the message that answers with an error code, and says
// which answer that is.
func AppendError(dst []byte, code ErrorCode) ([]byte, Answer) {
	out, err := AppendResponse(dst, Failure{code})
	if err != nil {
		panic(err) // two octets always fit
	}
	switch code {
	case UnrecognizedCriticalRecord:
		return out, AnsweredUnrecognized
	case BadRequest:
		return out, AnsweredBadRequest
	default:
		return out, AnsweredInternal
	}
}

// Respond appends the answer to a decoded request to dst. It never fails: what
// goes wrong inside is answered with Error 2 (RFC 8915 section 4.1.3), and the
// cause is returned beside the answer for the operator.
func (s *Server) Respond(dst []byte, req Request, session Session) ([]byte, Answer, error) {
	resp, answer, err := s.answer(req, session)
	if err == nil {
		var out []byte
		if out, err = AppendResponse(dst, resp); err == nil {
			return out, answer, nil
		}
	}
	out, answer := AppendError(dst, InternalServerError)
	return out, answer, err
}

func (s *Server) answer(req Request, session Session) (Response, Answer, error) {
	switch q := req.(type) {
	case KeyExchange:
		// The keys of a connection that carried a pool's messages are never
		// taken out of it.
		if session.Reused {
			return Failure{BadRequest}, AnsweredBadRequest, nil
		}
		return s.keyExchange(q, session)
	case FixedKey:
		return s.fixedKey(q, session)
	case Information:
		return information(q, session), AnsweredInformation, nil
	case Names:
		a := ServerNames{KeepAlive: granted(q.Dialect, q.KeepAlive && session.KeepAlive)}
		if s.NTPServer != "" {
			a.Names = []string{s.NTPServer}
		}
		return a, AnsweredNames, nil
	default:
		return Failure{BadRequest}, AnsweredBadRequest, nil
	}
}

func granted(d Dialect, keepAlive bool) Dialect {
	if !keepAlive {
		return NoDialect
	}
	return d
}

func (s *Server) keyExchange(q KeyExchange, session Session) (Response, Answer, error) {
	protocol, ok := firstCommon(q.Protocols, protocolSupported)
	if !ok {
		return NoOverlap{}, AnsweredNoProtocol, nil
	}
	algorithm, ok := firstCommon(q.Algorithms, Negotiable)
	if !ok {
		return NoOverlap{Protocol: []Protocol{protocol}}, AnsweredNoAlgorithm, nil
	}
	c2s, s2c, err := ExportKeys(session.Export, protocol, algorithm, algorithm.KeyLen())
	if err != nil {
		return nil, 0, err
	}
	defer c2s.Clear()
	defer s2c.Clear()
	resp, err := s.establish(protocol, algorithm, c2s, s2c, session.Seal)
	return resp, AnsweredKeyExchange, err
}

func (s *Server) fixedKey(q FixedKey, session Session) (Response, Answer, error) {
	if !protocolSupported(q.Protocol) {
		return NoOverlap{}, AnsweredNoProtocol, nil
	}
	if !Negotiable(q.Algorithm) {
		return NoOverlap{Protocol: []Protocol{q.Protocol}}, AnsweredNoAlgorithm, nil
	}
	resp, err := s.establish(q.Protocol, q.Algorithm, q.C2S, q.S2C, session.Seal)
	resp.KeepAlive = granted(q.Dialect, q.KeepAlive && session.KeepAlive)
	return resp, AnsweredFixedKey, err
}

// establish makes the answer with eight cookies: "Servers MUST send at least
// one record of this type, and SHOULD send eight of them" (section 4.1.6).
func (s *Server) establish(p Protocol, a aead.Algorithm, c2s, s2c Secret, seal Sealer) (Established, error) {
	resp := Established{Protocol: p, Algorithm: a, Server: s.NTPServer, Port: s.NTPPort}
	for range MaxCookies {
		cookie, err := seal(a, c2s, s2c)
		if err != nil {
			return Established{}, err
		}
		resp.Cookies = append(resp.Cookies, cookie)
	}
	return resp, nil
}

func information(q Information, session Session) Supported {
	a := Supported{Dialect: q.Dialect, KeepAlive: q.KeepAlive && session.KeepAlive}
	if q.Protocols {
		a.Protocols = append([]Protocol{}, supportedProtocols...)
	}
	if q.Algorithms {
		for _, id := range supportedAlgorithms {
			a.Algorithms = append(a.Algorithms, SupportedAlgorithm{ID: id, KeyLen: uint16(id.KeyLen())})
		}
	}
	return a
}

// AES128GCMSIV is AEAD_AES_128_GCM_SIV. Clients disagree about its key context,
// and record 1024 settles which one a client means; without that negotiation
// the algorithm is never chosen.
const AES128GCMSIV aead.Algorithm = 30

// Negotiable reports whether a server of this suite chooses the algorithm.
func Negotiable(a aead.Algorithm) bool { return a != AES128GCMSIV && a.Supported() }

func protocolSupported(p Protocol) bool {
	_, ok := firstCommon(supportedProtocols, func(q Protocol) bool { return p == q })
	return ok
}

// firstCommon is the first of the client's list that the server accepts. To
// follow the client's order is OPTIONAL (section 4.1.5), and what clients
// expect.
func firstCommon[T any](offered []T, accepted func(T) bool) (T, bool) {
	for _, v := range offered {
		if accepted(v) {
			return v, true
		}
	}
	var none T
	return none, false
}

package nts

import (
	"encoding/binary"
	"fmt"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Response is one of Established, NoOverlap, Supported, ServerNames and
// Failure.
type Response interface{ response() }

// MaxCookies is the number of cookies that a client keeps and a server sends
// (RFC 8915 section 4.1.6: "SHOULD send eight of them").
const MaxCookies = 8

// MaxCookie is the longest cookie in octets that is accepted. A longer one
// would not fit the NTP packet that carries it.
const MaxCookie = 1024

// Established is the answer to KeyExchange and FixedKey that gives cookies.
type Established struct {
	Protocol        Protocol
	Algorithm       aead.Algorithm
	CompliantGCMSIV bool     // record 1024
	Cookies         [][]byte // 1 to MaxCookies, each of 1 to MaxCookie octets
	Server          string   // empty: the address of the key-exchange server
	Port            uint16   // 0: DefaultNTPPort
	KeepAlive       Dialect  // the connection stays; NoDialect: it does not
}

// NoOverlap is the answer of a server that has no protocol, or for its
// protocol no algorithm, in common with the client.
type NoOverlap struct {
	Protocol []Protocol // at most one; if present, the algorithm is missing
}

// Supported answers Information with the lists that were asked for.
type Supported struct {
	Dialect    Dialect
	Protocols  []Protocol           // nil: no such list
	Algorithms []SupportedAlgorithm // nil: no such list
	KeepAlive  bool
}

// ServerNames answers Names. It is the only message in which several Server
// records are legal; there may be none.
type ServerNames struct {
	Names     []string
	KeepAlive Dialect
}

// Failure is an Error record.
type Failure struct{ Code ErrorCode }

func (Established) response() {}
func (NoOverlap) response()   {}
func (Supported) response()   {}
func (ServerNames) response() {}
func (Failure) response()     {}

// AppendResponse appends the whole message for resp. It fails with ErrEncode
// if a body does not fit.
func AppendResponse(dst []byte, resp Response) ([]byte, error) {
	switch a := resp.(type) {
	case Established:
		return AppendMessage(dst, a.records()...)
	case NoOverlap:
		out := []Record{{TypeNextProtocol, true, encodeUint16s(a.Protocol...)}}
		if len(a.Protocol) > 0 {
			out = append(out, Record{TypeAlgorithm, true, nil})
		}
		return AppendMessage(dst, out...)
	case Supported:
		return AppendMessage(dst, a.records()...)
	case ServerNames:
		var out []Record
		for _, name := range a.Names {
			out = append(out, Record{TypeServer, true, []byte(name)})
		}
		return AppendMessage(dst, appendKeepAlive(out, a.KeepAlive, a.KeepAlive != NoDialect)...)
	case Failure:
		return AppendMessage(dst, Record{TypeError, true, encodeUint16s(a.Code)})
	default:
		return dst, fmt.Errorf("%w: response of type %T", ErrEncode, resp)
	}
}

func (a Established) records() []Record {
	out := []Record{
		{TypeNextProtocol, true, encodeUint16s(a.Protocol)},
		{TypeAlgorithm, true, encodeUint16s(a.Algorithm)},
	}
	if a.CompliantGCMSIV {
		out = append(out, Record{Type: TypeCompliantGCMSIV})
	}
	for _, c := range a.Cookies {
		// "The Critical Bit SHOULD NOT be set" (section 4.1.6).
		out = append(out, Record{TypeCookie, false, c})
	}
	// "Servers MAY set the Critical Bit" (sections 4.1.7, 4.1.8): a client
	// that does not know the records would ask the wrong server.
	if a.Server != "" {
		out = append(out, Record{TypeServer, true, []byte(a.Server)})
	}
	if a.Port != 0 {
		out = append(out, Record{TypePort, true, encodeUint16s(a.Port)})
	}
	return appendKeepAlive(out, a.KeepAlive, a.KeepAlive != NoDialect)
}

func (a Supported) records() []Record {
	var out []Record
	if a.Protocols != nil {
		out = append(out, Record{number(meansSupportedProtocols, a.Dialect), true, encodeUint16s(a.Protocols...)})
	}
	if a.Algorithms != nil {
		out = append(out, Record{number(meansSupportedAlgorithms, a.Dialect), true, encodeSupported(a.Algorithms)})
	}
	return appendKeepAlive(out, a.Dialect, a.KeepAlive)
}

// DecodeResponse decodes the answer to KeyExchange or FixedKey: Established,
// NoOverlap or Failure. Whether the answer is one that was asked for is for
// the caller to check. The result aliases nothing of msg.
func DecodeResponse(msg []byte) (Response, error) {
	d, err := decodeAnswer(msg, keyExchangeAnswer)
	if err != nil {
		return nil, err
	}
	if d.failure != nil {
		return *d.failure, nil
	}
	return d.established()
}

// DecodeSupported decodes the answer to Information: Supported or Failure.
// The first generation of sources adds a key exchange to it, which is ignored.
func DecodeSupported(msg []byte) (Response, error) {
	d, err := decodeAnswer(msg, supportedAnswer)
	if err != nil {
		return nil, err
	}
	if d.failure != nil {
		return *d.failure, nil
	}
	if d.supported.Protocols == nil && d.supported.Algorithms == nil {
		return nil, malformed("no list in the answer to a question for lists")
	}
	if d.keepAlive != NoDialect && d.keepAlive != d.supported.Dialect {
		return nil, malformed("records of two dialects, %v and %v", d.supported.Dialect, d.keepAlive)
	}
	d.supported.KeepAlive = d.keepAlive != NoDialect
	return d.supported, nil
}

// DecodeNames decodes the answer to Names: ServerNames or Failure.
func DecodeNames(msg []byte) (Response, error) {
	d, err := decodeAnswer(msg, namesAnswer)
	if err != nil {
		return nil, err
	}
	if d.failure != nil {
		return *d.failure, nil
	}
	return ServerNames{Names: d.servers, KeepAlive: d.keepAlive}, nil
}

type answerKind uint8

const (
	keyExchangeAnswer answerKind = iota
	supportedAnswer
	namesAnswer
)

// answerDecoder gathers the records of one response.
type answerDecoder struct {
	kind answerKind
	seen [meansToken + 1]bool

	protocols  []Protocol
	algorithms []aead.Algorithm
	gcmSIV     bool
	cookies    [][]byte
	servers    []string
	port       uint16
	keepAlive  Dialect
	supported  Supported
	failure    *Failure
}

func decodeAnswer(msg []byte, kind answerKind) (*answerDecoder, error) {
	records, err := SplitMessage(msg)
	if err != nil {
		return nil, err
	}
	d := &answerDecoder{kind: kind}
	// An Error record comes first, whatever else is wrong: "they MUST discard
	// any key material [...] and MUST NOT proceed" (RFC 8915 section 4.1.3).
	for _, r := range records {
		if r.Type != TypeError {
			continue
		}
		if len(r.Body) != 2 {
			return nil, malformed("Error of %d octets", len(r.Body))
		}
		d.failure = &Failure{ErrorCode(binary.BigEndian.Uint16(r.Body))}
		return d, nil
	}
	for _, r := range records {
		if err := d.add(r); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// expects reports whether a record with this meaning exists in this answer.
func (d *answerDecoder) expects(m meaning) bool {
	switch m {
	case meansUnknown, meansListNames, meansFixedKey, meansDeny:
		return false
	case meansSupportedProtocols, meansSupportedAlgorithms:
		return d.kind == supportedAnswer
	default:
		return true
	}
}

func (d *answerDecoder) add(r Record) error {
	m, dialect := classify(r)
	if !d.expects(m) {
		if r.Critical {
			return fmt.Errorf("%w: type %d", ErrUnrecognizedCritical, r.Type)
		}
		return nil
	}
	if d.seen[m] && !d.mayRepeat(m) {
		return malformed("a second record of the same kind (%v)", m)
	}
	d.seen[m] = true

	switch m {
	case meansKeepAlive:
		d.keepAlive = dialect
		return nil
	case meansToken: // has no place here, and no harm
		return nil
	case meansWarning:
		// "Unrecognized warning codes MUST be treated as errors", and RFC 8915
		// section 4.1.4 defines none.
		return malformed("Warning %x", clip(string(r.Body)))
	case meansSupportedProtocols, meansSupportedAlgorithms:
		return d.addList(m, dialect, r)
	}
	if d.kind == supportedAnswer {
		return nil // the key exchange that the first generation adds
	}
	return d.addKeyExchange(m, r)
}

func (d *answerDecoder) mayRepeat(m meaning) bool {
	switch m {
	case meansCookie, meansKeepAlive, meansToken, meansCompliantGCMSIV:
		return true
	case meansServer:
		return d.kind == namesAnswer
	default:
		return d.kind == supportedAnswer && m < meansKeepAlive
	}
}

func (d *answerDecoder) addList(m meaning, dialect Dialect, r Record) (err error) {
	if d.supported.Dialect != NoDialect && d.supported.Dialect != dialect {
		return malformed("records of two dialects, %v and %v", d.supported.Dialect, dialect)
	}
	d.supported.Dialect = dialect
	if m == meansSupportedProtocols {
		d.supported.Protocols, err = decodeUint16s[Protocol](r.Body, m.String())
	} else {
		d.supported.Algorithms, err = decodeSupported(r.Body)
	}
	return err
}

func (d *answerDecoder) addKeyExchange(m meaning, r Record) (err error) {
	switch m {
	case meansNextProtocol:
		if !r.Critical {
			return malformed("NTS Next Protocol Negotiation without its critical bit")
		}
		d.protocols, err = decodeUint16s[Protocol](r.Body, m.String())
	case meansAlgorithm:
		d.algorithms, err = decodeUint16s[aead.Algorithm](r.Body, m.String())
	case meansCompliantGCMSIV:
		d.gcmSIV = true
	case meansCookie:
		if len(r.Body) == 0 || len(r.Body) > MaxCookie {
			return malformed("cookie of %d octets", len(r.Body))
		}
		if len(d.cookies) < MaxCookies {
			d.cookies = append(d.cookies, append([]byte{}, r.Body...))
		}
	case meansServer:
		name := string(r.Body)
		if !ValidServer(name) {
			return malformed("NTPv4 Server Negotiation %q", clip(name))
		}
		d.servers = append(d.servers, name)
	case meansPort:
		d.port, err = decodePort(r.Body)
	}
	return err
}

// established checks what a key exchange must have answered.
func (d *answerDecoder) established() (Response, error) {
	switch {
	case !d.seen[meansNextProtocol]:
		return nil, malformed("no NTS Next Protocol Negotiation")
	case len(d.protocols) == 0:
		return NoOverlap{}, nil
	case len(d.protocols) > 1:
		return nil, malformed("%d protocols in an answer to one", len(d.protocols))
	case !d.seen[meansAlgorithm]:
		return nil, malformed("no AEAD Algorithm Negotiation")
	case len(d.algorithms) == 0:
		return NoOverlap{Protocol: d.protocols}, nil
	case len(d.algorithms) > 1: // "it MUST include at most one" (section 4.1.5)
		return nil, malformed("%d AEAD algorithms in an answer", len(d.algorithms))
	case len(d.cookies) == 0: // "Servers MUST send at least one" (section 4.1.6)
		return nil, malformed("no cookie")
	}
	a := Established{
		Protocol: d.protocols[0], Algorithm: d.algorithms[0], CompliantGCMSIV: d.gcmSIV,
		Cookies: d.cookies, Port: d.port, KeepAlive: d.keepAlive,
	}
	if len(d.servers) > 0 {
		a.Server = d.servers[0]
	}
	return a, nil
}

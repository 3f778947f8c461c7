package nts

import (
	"encoding/binary"
	"fmt"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Request is one of KeyExchange, Information, Names and FixedKey.
type Request interface{ request() }

// KeyExchange is the ordinary request of a time client (RFC 8915 section 4).
type KeyExchange struct {
	Protocols       []Protocol       // at least one
	Algorithms      []aead.Algorithm // decreasing preference; needed for NTPv4
	CompliantGCMSIV bool             // record 1024
	Server          string           // the server it would like, or empty
	Port            uint16           // the port it would like, or 0
	Deny            []Deny           // servers that it does not want from a pool
}

// Deny names a server that a client of a pool does not want, exactly as an
// earlier Server record spelled it.
type Deny struct {
	Name    string
	Dialect Dialect // IANA or Draft
}

// Information is a pool's question what a time source supports.
type Information struct {
	Dialect    Dialect
	Token      Secret // nil without
	Protocols  bool   // asks for the protocols
	Algorithms bool   // asks for the algorithms and the lengths of their keys
	KeepAlive  bool   // would like to keep the connection
}

// Names is a pool's question by which names a source's NTP servers go.
type Names struct {
	Dialect   Dialect
	Token     Secret
	KeepAlive bool
}

// FixedKey is a pool's request for cookies that hold the given keys: those of
// the pool's client.
type FixedKey struct {
	Dialect   Dialect
	Token     Secret
	Protocol  Protocol
	Algorithm aead.Algorithm
	C2S, S2C  Secret // equally long
	KeepAlive bool
}

func (KeyExchange) request() {}
func (Information) request() {}
func (Names) request()       {}
func (FixedKey) request()    {}

// DenyInEveryDialect makes the Deny records for names that every generation
// of pools understands; the record is not critical, so that others ignore it.
func DenyInEveryDialect(names []string) []Deny {
	deny := make([]Deny, 0, 2*len(names))
	for _, name := range names {
		deny = append(deny, Deny{name, IANA}, Deny{name, Draft})
	}
	return deny
}

// AppendRequest appends the whole message for req. It fails with ErrEncode if
// a body does not fit.
func AppendRequest(dst []byte, req Request) ([]byte, error) {
	switch q := req.(type) {
	case KeyExchange:
		return AppendMessage(dst, q.records()...)
	case Information:
		return AppendMessage(dst, q.records()...)
	case Names:
		return AppendMessage(dst, q.records()...)
	case FixedKey:
		return AppendMessage(dst, q.records()...)
	default:
		return dst, fmt.Errorf("%w: request of type %T", ErrEncode, req)
	}
}

func (q KeyExchange) records() []Record {
	out := []Record{{TypeNextProtocol, true, encodeUint16s(q.Protocols...)}}
	if len(q.Algorithms) > 0 {
		out = append(out, Record{TypeAlgorithm, true, encodeUint16s(q.Algorithms...)})
	}
	if q.CompliantGCMSIV {
		out = append(out, Record{Type: TypeCompliantGCMSIV})
	}
	// RFC 8915 sections 4.1.7 and 4.1.8: clients SHOULD NOT set the critical
	// bit on these two.
	if q.Server != "" {
		out = append(out, Record{TypeServer, false, []byte(q.Server)})
	}
	if q.Port != 0 {
		out = append(out, Record{TypePort, false, encodeUint16s(q.Port)})
	}
	for _, d := range q.Deny {
		out = append(out, Record{number(meansDeny, d.Dialect), false, []byte(d.Name)})
	}
	return out
}

func (q Information) records() []Record {
	out := tokenRecord(q.Dialect, q.Token)
	if q.Protocols {
		out = append(out, Record{number(meansSupportedProtocols, q.Dialect), true, nil})
	}
	if q.Algorithms {
		out = append(out, Record{number(meansSupportedAlgorithms, q.Dialect), true, nil})
	}
	return appendKeepAlive(out, q.Dialect, q.KeepAlive)
}

func (q Names) records() []Record {
	out := tokenRecord(q.Dialect, q.Token)
	out = append(out, Record{number(meansListNames, q.Dialect), true, nil})
	return appendKeepAlive(out, q.Dialect, q.KeepAlive)
}

func (q FixedKey) records() []Record {
	keys := make([]byte, 0, len(q.C2S)+len(q.S2C))
	keys = append(append(keys, q.C2S...), q.S2C...)
	fixed := Record{number(meansFixedKey, q.Dialect), true, keys}
	next := Record{TypeNextProtocol, true, encodeUint16s(q.Protocol)}
	algorithm := Record{TypeAlgorithm, true, encodeUint16s(q.Algorithm)}

	if q.Dialect == ClientCertificate {
		// The first generation spoke in this order and with this bit unset.
		algorithm.Critical = false
		return appendKeepAlive([]Record{next, algorithm, fixed}, q.Dialect, q.KeepAlive)
	}
	out := append(tokenRecord(q.Dialect, q.Token), fixed, next, algorithm)
	return appendKeepAlive(out, q.Dialect, q.KeepAlive)
}

// tokenRecord comes first in a request, since some sources want it before
// the records that it entitles to.
func tokenRecord(d Dialect, token Secret) []Record {
	if token == nil || d == ClientCertificate {
		return nil
	}
	return []Record{{number(meansToken, d), false, token}}
}

func appendKeepAlive(out []Record, d Dialect, keepAlive bool) []Record {
	if !keepAlive {
		return out
	}
	return append(out, Record{number(meansKeepAlive, d), false, nil})
}

// DecodeRequest decodes a whole request. The result aliases nothing of msg.
//
// authorised decides whether the sender is a pool that this server serves. It
// is asked with nil (for what the connection itself proves, such as a client
// certificate) and then with the first tokens of the message, maxTokens at
// most, until it says yes. A nil func authorises nobody.
//
// For everybody else the privileged pool records do not exist: a critical one
// is an unrecognized critical record, another is ignored.
func DecodeRequest(msg []byte, authorised func(token Secret) bool) (Request, error) {
	records, err := SplitMessage(msg)
	if err != nil {
		return nil, err
	}
	d := requestDecoder{authorised: isAuthorised(records, authorised)}

	// Both errors are a MUST; the unrecognized record is reported first,
	// because it tells the client more.
	for _, r := range records {
		if m, _ := classify(r); r.Critical && !d.knows(m) {
			return nil, fmt.Errorf("%w: type %d", ErrUnrecognizedCritical, r.Type)
		}
	}
	for _, r := range records {
		if err := d.add(r); err != nil {
			return nil, err
		}
	}
	return d.finish()
}

// maxTokens is how many tokens of a request are looked at. A pool sends one;
// whoever sends more is guessing.
const maxTokens = 2

func isAuthorised(records []Record, authorised func(Secret) bool) bool {
	if authorised == nil {
		return false
	}
	if authorised(nil) {
		return true
	}
	tokens := 0
	for _, r := range records {
		if m, _ := classify(r); m != meansToken || len(r.Body) == 0 {
			continue
		}
		if authorised(Secret(r.Body)) {
			return true
		}
		if tokens++; tokens == maxTokens {
			break
		}
	}
	return false
}

// requestDecoder gathers the records of one request.
type requestDecoder struct {
	authorised bool
	dialect    Dialect

	protocols  []Protocol
	algorithms []aead.Algorithm
	seen       [meansToken + 1]bool
	gcmSIV     bool
	server     string
	port       uint16
	deny       []Deny
	token      Secret
	keys       []byte
}

// knows reports whether a record with this meaning exists for this sender.
func (d *requestDecoder) knows(m meaning) bool {
	return m != meansUnknown && (d.authorised || !m.privileged())
}

func (d *requestDecoder) add(r Record) error {
	m, dialect := classify(r)
	if !d.knows(m) {
		return nil
	}
	if err := d.checkOnce(m); err != nil {
		return err
	}
	if m.privileged() && m != meansToken {
		if d.dialect != NoDialect && d.dialect != dialect {
			return malformed("records of two dialects, %v and %v", d.dialect, dialect)
		}
		d.dialect = dialect
	}
	if m >= meansKeepAlive {
		return d.addPool(m, dialect, r)
	}
	return d.addStandard(m, r)
}

// checkOnce refuses the second of a record that may come only once.
func (d *requestDecoder) checkOnce(m meaning) error {
	switch m {
	case meansKeepAlive, meansDeny, meansCompliantGCMSIV:
		return nil
	}
	if d.seen[m] {
		return malformed("a second record of the same kind (%v)", m)
	}
	d.seen[m] = true
	return nil
}

func (d *requestDecoder) addStandard(m meaning, r Record) (err error) {
	switch m {
	case meansNextProtocol:
		if !r.Critical {
			return malformed("NTS Next Protocol Negotiation without its critical bit")
		}
		if d.protocols, err = decodeUint16s[Protocol](r.Body, "NTS Next Protocol Negotiation"); err != nil {
			return err
		}
		// "The request MUST list at least one protocol" (section 4.1.2).
		if len(d.protocols) == 0 {
			return malformed("empty NTS Next Protocol Negotiation in a request")
		}
	case meansAlgorithm:
		if d.algorithms, err = decodeUint16s[aead.Algorithm](r.Body, "AEAD Algorithm Negotiation"); err != nil {
			return err
		}
		// "In requests, the list MUST include at least one algorithm"
		// (section 4.1.5).
		if len(d.algorithms) == 0 {
			return malformed("empty AEAD Algorithm Negotiation in a request")
		}
	case meansServer:
		if d.server = string(r.Body); !ValidServer(d.server) {
			return malformed("NTPv4 Server Negotiation %q", clip(d.server))
		}
	case meansPort:
		d.port, err = decodePort(r.Body)
		return err
	case meansCompliantGCMSIV:
		d.gcmSIV = true
	default:
		// Error, Warning and New Cookie: "Clients MUST NOT" send them
		// (sections 4.1.3, 4.1.4, 4.1.6).
		return malformed("%v record in a request", m)
	}
	return nil
}

func (d *requestDecoder) addPool(m meaning, dialect Dialect, r Record) error {
	switch m {
	case meansDeny:
		// A name that no server can have denies nothing, and is no reason
		// to refuse the client either.
		if name := string(r.Body); ValidServer(name) {
			d.deny = append(d.deny, Deny{name, dialect})
		}
	case meansToken:
		d.token = append(Secret{}, r.Body...)
	case meansFixedKey:
		if len(r.Body) == 0 || len(r.Body)%2 != 0 {
			return malformed("Fixed Key Request of %d octets", len(r.Body))
		}
		d.keys = append([]byte{}, r.Body...)
	case meansKeepAlive:
		d.seen[m] = true
	}
	// The bodies of the questions are ignored.
	return nil
}

// finish finds out which kind of request the records make.
func (d *requestDecoder) finish() (Request, error) {
	dialect := d.dialect
	if dialect == Draft && d.token == nil {
		dialect = ClientCertificate
	}
	lists := d.seen[meansSupportedProtocols] || d.seen[meansSupportedAlgorithms]
	negotiates := d.seen[meansNextProtocol] || d.seen[meansAlgorithm] || d.seen[meansFixedKey]

	switch {
	case d.seen[meansListNames]:
		if lists || negotiates {
			return nil, malformed("List Server Names together with another request")
		}
		return Names{Dialect: dialect, Token: d.token, KeepAlive: d.seen[meansKeepAlive]}, nil
	case lists:
		if negotiates {
			return nil, malformed("a question for supported lists together with another request")
		}
		return Information{
			Dialect: dialect, Token: d.token, KeepAlive: d.seen[meansKeepAlive],
			Protocols: d.seen[meansSupportedProtocols], Algorithms: d.seen[meansSupportedAlgorithms],
		}, nil
	case d.seen[meansFixedKey]:
		return d.fixedKey(dialect)
	default:
		return d.keyExchange()
	}
}

func (d *requestDecoder) fixedKey(dialect Dialect) (Request, error) {
	if len(d.protocols) != 1 || len(d.algorithms) != 1 {
		return nil, malformed("Fixed Key Request with %d protocols and %d algorithms instead of one each",
			len(d.protocols), len(d.algorithms))
	}
	half := len(d.keys) / 2
	q := FixedKey{
		Dialect: dialect, Token: d.token, KeepAlive: d.seen[meansKeepAlive],
		Protocol: d.protocols[0], Algorithm: d.algorithms[0],
		C2S: d.keys[:half:half], S2C: d.keys[half:],
	}
	if n := q.Algorithm.KeyLen(); q.Algorithm.Supported() && n != half {
		return nil, malformed("Fixed Key Request with keys of %d octets, %v has %d", half, q.Algorithm, n)
	}
	return q, nil
}

func (d *requestDecoder) keyExchange() (Request, error) {
	if !d.seen[meansNextProtocol] {
		return nil, malformed("no NTS Next Protocol Negotiation")
	}
	// "If the NTS Next Protocol Negotiation record offers Protocol ID 0 (for
	// NTPv4), then this record MUST be included exactly once" (section 4.1.5).
	for _, p := range d.protocols {
		if p == NTPv4 && !d.seen[meansAlgorithm] {
			return nil, malformed("no AEAD Algorithm Negotiation for NTPv4")
		}
	}
	return KeyExchange{
		Protocols: d.protocols, Algorithms: d.algorithms, CompliantGCMSIV: d.gcmSIV,
		Server: d.server, Port: d.port, Deny: d.deny,
	}, nil
}

func decodePort(body []byte) (uint16, error) {
	if len(body) != 2 {
		return 0, malformed("NTPv4 Port Negotiation of %d octets", len(body))
	}
	port := binary.BigEndian.Uint16(body)
	if port == 0 {
		return 0, malformed("NTPv4 Port Negotiation for port 0")
	}
	return port, nil
}

// clip keeps what a stranger sent short enough for an error message.
func clip(s string) string {
	const longest = 64
	if len(s) > longest {
		return s[:longest] + "..."
	}
	return s
}

// WantsKeepAlive reports whether a pool asks to keep the connection. An
// ordinary key exchange never does: its connection gives keys.
func WantsKeepAlive(req Request) bool {
	switch q := req.(type) {
	case Information:
		return q.KeepAlive
	case Names:
		return q.KeepAlive
	case FixedKey:
		return q.KeepAlive
	default:
		return false
	}
}

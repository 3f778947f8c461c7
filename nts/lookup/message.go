package lookup

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// Bounds of what is read of an answer.
const (
	payload    = 1232 // of UDP, in octets: what fits one packet everywhere
	mostRead   = 256  // records of a section
	mostChain  = 8    // aliases from the name that was asked for
	mostAnswer = 1 << 16
)

// Answer is what DNS says about a domain.
type Answer struct {
	// Records are the SRV records as they came, unusable ones among them. There
	// may be none.
	Records []srv.Record
	// TTL is how long that may be used; 0 when the answer does not say.
	TTL time.Duration
	// Secure is the resolver's word that DNSSEC proves all of this, that there
	// are no records among it.
	Secure bool
}

// errTruncated is an answer that did not fit.
var errTruncated = errors.New("the answer is cut off")

// rcodeError is an answer that is none.
type rcodeError struct{ code dnsmessage.RCode }

func (e *rcodeError) Error() string {
	switch e.code {
	case dnsmessage.RCodeServerFailure:
		return "the resolver could not answer, or found signatures to be wrong (SERVFAIL)"
	case dnsmessage.RCodeRefused:
		return "the resolver refuses to answer (REFUSED)"
	default:
		return fmt.Sprintf("the resolver says %v", e.code)
	}
}

// newQuestion asks for the SRV records of a domain, which is whole as it is.
func newQuestion(domain string) (dnsmessage.Question, error) {
	name, err := dnsmessage.NewName(srv.Service + "." + strings.TrimSuffix(domain, ".") + ".")
	if err != nil {
		return dnsmessage.Question{}, fmt.Errorf("%q cannot be a name in DNS: %w", domain, err)
	}
	return dnsmessage.Question{Name: name, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET}, nil
}

// query is the message that asks. The AD bit in it "indicates that the requester
// understands and is interested in the value of the AD bit in the response"
// (RFC 6840 section 5.7).
func query(id uint16, q dnsmessage.Question) ([]byte, error) {
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(payload, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true, AuthenticData: true},
		Questions:   []dnsmessage.Question{q},
		Additionals: []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}},
	}
	return m.Pack()
}

// start reads a message up to its answers. It reports whether the message
// answers the question: what does not is not from the resolver, whatever it
// says.
func start(raw []byte, id uint16, q dnsmessage.Question) (p dnsmessage.Parser, h dnsmessage.Header, ok bool) {
	h, err := p.Start(raw)
	if err != nil || !h.Response || h.ID != id || h.OpCode != 0 {
		return p, h, false
	}
	got, err := p.Question()
	if err != nil || got.Type != q.Type || got.Class != q.Class || !strings.EqualFold(got.Name.String(), q.Name.String()) {
		return p, h, false
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return p, h, false
	}
	return p, h, true
}

// answers reports whether a message answers a question.
func answers(raw []byte, id uint16, q dnsmessage.Question) bool {
	_, _, ok := start(raw, id, q)
	return ok
}

// parse reads the answer to a question.
func parse(raw []byte, id uint16, q dnsmessage.Question) (Answer, error) {
	p, h, ok := start(raw, id, q)
	switch {
	case !ok:
		return Answer{}, errors.New("the answer is to another question")
	case h.Truncated:
		return Answer{}, errTruncated
	case h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError:
		return Answer{}, &rcodeError{h.RCode}
	}
	found, err := section(&p)
	if err != nil {
		return Answer{}, fmt.Errorf("the answer is damaged: %w", err)
	}
	a := Answer{Secure: h.AuthenticData}
	if h.RCode == dnsmessage.RCodeSuccess {
		a.Records, a.TTL = found.of(q.Name)
	}
	if len(a.Records) == 0 {
		a.TTL = denial(&p)
	}
	return a, nil
}

// found are the records of an answer section that matter, by their owners.
type found struct {
	records []owned
	aliases []owned
}

// owned is a record with its owner; of an alias, record.Target is what it leads
// to.
type owned struct {
	owner  string // lower case
	record srv.Record
	ttl    uint32
}

func section(p *dnsmessage.Parser) (f found, err error) {
	for range mostRead {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return f, nil
		}
		if err != nil {
			return f, err
		}
		o := owned{owner: strings.ToLower(h.Name.String()), ttl: h.TTL}
		switch {
		case h.Class == dnsmessage.ClassINET && h.Type == dnsmessage.TypeSRV:
			r, err := p.SRVResource()
			if err != nil {
				return f, err
			}
			o.record = srv.Record{Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: r.Target.String()}
			f.records = append(f.records, o)
		case h.Class == dnsmessage.ClassINET && h.Type == dnsmessage.TypeCNAME:
			r, err := p.CNAMEResource()
			if err != nil {
				return f, err
			}
			o.record.Target = strings.ToLower(r.CNAME.String())
			f.aliases = append(f.aliases, o)
		default:
			if err := p.SkipAnswer(); err != nil {
				return f, err
			}
		}
	}
	return f, fmt.Errorf("it has more than %d records", mostRead)
}

// of returns the records of a name, or of what its aliases lead to, with the
// shortest time to live of all that takes part. What belongs to other names
// does not.
func (f *found) of(name dnsmessage.Name) (records []srv.Record, ttl time.Duration) {
	at, least := strings.ToLower(name.String()), uint32(1<<31-1)
	for range mostChain {
		for _, o := range f.records {
			if o.owner == at {
				records, least = append(records, o.record), min(least, o.ttl)
			}
		}
		if len(records) > 0 {
			return records, time.Duration(least) * time.Second
		}
		next := ""
		for _, o := range f.aliases {
			if o.owner == at {
				next, least = o.record.Target, min(least, o.ttl)
			}
		}
		if next == "" {
			break
		}
		at = next
	}
	return nil, 0
}

// denial is how long it may be believed that there is nothing: "the TTL of this
// record is set from the minimum of the MINIMUM field of the SOA record and the
// TTL of the SOA itself" (RFC 2308 section 5). Without one it is 0.
func denial(p *dnsmessage.Parser) time.Duration {
	if p.SkipAllAnswers() != nil {
		return 0
	}
	for range mostRead {
		h, err := p.AuthorityHeader()
		if err != nil {
			return 0
		}
		if h.Type == dnsmessage.TypeSOA {
			soa, err := p.SOAResource()
			if err != nil {
				return 0
			}
			return time.Duration(min(h.TTL, soa.MinTTL)) * time.Second
		}
		if p.SkipAuthority() != nil {
			return 0
		}
	}
	return 0
}

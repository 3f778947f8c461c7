package pool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// Members of a pool can be listed in DNS, by SRV records that DNSSEC signs:
// then any number of pools share one list, and whoever may change the zone
// keeps it. A list without that proof is never used, since the clients' keys go
// to who is on it.

const (
	// How long a list is used before it is asked for again, whatever its time
	// to live says.
	DiscoverAtLeast = time.Minute
	DiscoverAtMost  = time.Hour

	dnsTimeout = 3 * time.Second
	dnsPayload = 1232 // what fits one packet everywhere
	dnsTries   = 2
)

// Errors of Discover.
var (
	// ErrInsecure is a list that the resolver did not find to be signed.
	ErrInsecure = errors.New("the answer is not DNSSEC-secure: the resolver must validate, and the zone must be signed")

	// ErrNobody is a list on which there is nobody.
	ErrNobody = errors.New("there is no usable SRV record")
)

// Discover asks a resolver for the SRV records of _ntske._tcp below a domain.
// The resolver must validate and be trusted, with the way to it: its word for it
// that the answer is secure (the AD bit) is taken. It returns how long the
// answer is good for.
func Discover(ctx context.Context, resolver netip.AddrPort, domain string) ([]srv.Record, time.Duration, error) {
	name := srv.Service + "." + domain
	records, ttl, err := discover(ctx, resolver, name)
	if err != nil {
		return nil, 0, fmt.Errorf("look up SRV %s at %v: %w", name, resolver, err)
	}
	return records, ttl, nil
}

func discover(ctx context.Context, resolver netip.AddrPort, name string) ([]srv.Record, time.Duration, error) {
	q, err := newQuestion(name)
	if err != nil {
		return nil, 0, err
	}
	var msg *dnsmessage.Message
	for range dnsTries {
		if msg, err = q.ask(ctx, "udp", resolver); err == nil {
			break
		}
	}
	if err == nil && msg.Truncated {
		msg, err = q.ask(ctx, "tcp", resolver)
	}
	switch {
	case err != nil:
		return nil, 0, err
	case msg.RCode == dnsmessage.RCodeServerFailure:
		return nil, 0, errors.New("the resolver could not answer, or found the signatures to be wrong (SERVFAIL)")
	case msg.RCode != dnsmessage.RCodeSuccess && msg.RCode != dnsmessage.RCodeNameError:
		return nil, 0, fmt.Errorf("the resolver refused: %v", msg.RCode)
	case !msg.AuthenticData:
		return nil, 0, ErrInsecure
	}
	var records []srv.Record
	ttl := DiscoverAtMost
	for _, r := range msg.Answers {
		ttl = min(ttl, time.Duration(r.Header.TTL)*time.Second)
		if s, ok := r.Body.(*dnsmessage.SRVResource); ok {
			records = append(records, srv.Record{Priority: s.Priority, Weight: s.Weight, Port: s.Port, Target: s.Target.String()})
		}
	}
	if records = srv.Usable(records); len(records) == 0 {
		return nil, 0, ErrNobody
	}
	return records, max(ttl, DiscoverAtLeast), nil
}

// dnsQuestion is a query in wire format.
type dnsQuestion struct {
	id       uint16
	question dnsmessage.Question
	packed   []byte
}

func newQuestion(name string) (*dnsQuestion, error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	q := &dnsQuestion{id: uint16(rand.Uint32()), question: dnsmessage.Question{Name: n, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET}}
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(dnsPayload, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	// RFC 6840 section 5.7: AD in a query "indicates that the requester
	// understands and is interested in the value of the AD bit in the
	// response".
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: q.id, RecursionDesired: true, AuthenticData: true},
		Questions:   []dnsmessage.Question{q.question},
		Additionals: []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}},
	}
	q.packed, err = m.Pack()
	return q, err
}

// ask sends the query and waits for its answer.
func (q *dnsQuestion) ask(ctx context.Context, network string, resolver netip.AddrPort) (*dnsmessage.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, resolver.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	out := q.packed
	if network == "tcp" {
		out = append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)
	}
	if _, err := conn.Write(out); err != nil {
		return nil, err
	}
	for {
		raw, err := readAnswer(conn, network)
		if err != nil {
			return nil, err
		}
		var m dnsmessage.Message
		if err := m.Unpack(raw); err == nil && m.Response && m.ID == q.id && len(m.Questions) == 1 && m.Questions[0] == q.question {
			return &m, nil
		}
		if network == "tcp" {
			return nil, errors.New("the resolver's answer is to another question")
		}
	}
}

func readAnswer(conn net.Conn, network string) ([]byte, error) {
	if network == "udp" {
		buffer := make([]byte, 65535)
		n, err := conn.Read(buffer)
		return buffer[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, raw)
	return raw, err
}

// SourcesOf makes sources of records. Those of the lowest priority get clients
// by their weights, or evenly if all weights are 0; the others are watched, as
// sources of weight 0 are. token gives the token of each.
func SourcesOf(records []srv.Record, token func(domain string, port uint16) nts.Secret) []Source {
	even := uint32(1)
	for _, r := range records {
		if r.Priority == records[0].Priority && r.Weight > 0 {
			even = 0
		}
	}
	list := make([]Source, 0, len(records))
	for _, r := range records {
		s := Source{Domain: r.Target, Port: r.Port, Token: token(r.Target, r.Port), Weight: uint32(r.Weight) + even}
		if r.Priority != records[0].Priority {
			s.Weight = 0
		}
		list = append(list, s)
	}
	return list
}

// MemberToken is the token of one member out of a secret that all of a
// pool's front ends have: a token that leaks opens one member only.
func MemberToken(secret []byte, domain string, port uint16) nts.Secret {
	h := hmac.New(sha256.New, secret)
	fmt.Fprintf(h, "ntpd-go pool member\x00%s\x00%d", nts.CanonicalServer(domain), port)
	return nts.Secret(hex.EncodeToString(h.Sum(nil)))
}

// Sample draws so many sources by weight, each once. It is what a zone lists of
// a pool whose members are too many for one answer.
func Sample(sources []Source, n int, uniform func(uint64) uint64) []Source {
	candidates := make([]candidate, len(sources))
	for i, s := range sources {
		candidates[i] = candidate{weight: s.Weight, quality: fullQuality, tier: elsewhere}
	}
	d := newDrawing(candidates, make([]bool, len(sources)))
	var out []Source
	for len(out) < n {
		i, ok := d.next(uniform)
		if !ok {
			break
		}
		out = append(out, sources[i])
	}
	return out
}

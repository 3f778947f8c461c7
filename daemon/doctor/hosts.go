package doctor

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// hostsLine is what /etc/hosts says of a name.
func hostsLine(name string) []netip.Addr {
	text, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return nil
	}
	return parseHosts(string(text), name)
}

// parseHosts reads hosts(5).
func parseHosts(text, name string) (all []netip.Addr) {
	name = strings.TrimSuffix(name, ".")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		for _, n := range f[1:] {
			if strings.EqualFold(strings.TrimSuffix(n, "."), name) {
				all = append(all, a)
			}
		}
	}
	return all
}

// addressesBy asks one name server itself: package net would look into
// /etc/hosts first.
func (e *exam) addressesBy(at, name string) (all []netip.Addr) {
	ctx, cancel := context.WithTimeout(e.ctx, e.Timeout)
	defer cancel()
	for _, t := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		all = append(all, askAddresses(ctx, net.JoinHostPort(at, "53"), name, t, uint16(e.now.Nanosecond()))...)
	}
	return all
}

func askAddresses(ctx context.Context, server, name string, t dnsmessage.Type, id uint16) []netip.Addr {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil
	}
	q := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: t, Class: dnsmessage.ClassINET}},
	}
	query, err := q.Pack()
	if err != nil {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
	if err != nil {
		return nil
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // else it shows in the read
	} else {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
	}
	if _, err := conn.Write(query); err != nil {
		return nil
	}
	b := make([]byte, 4096)
	length, err := conn.Read(b)
	if err != nil {
		return nil
	}
	return addressesIn(b[:length], id)
}

// addressesIn are those of an answer.
func addressesIn(b []byte, id uint16) (all []netip.Addr) {
	var m dnsmessage.Message
	if m.Unpack(b) != nil || m.ID != id || !m.Response || m.RCode != dnsmessage.RCodeSuccess {
		return nil
	}
	for i := range m.Answers {
		switch r := m.Answers[i].Body.(type) {
		case *dnsmessage.AResource:
			all = append(all, netip.AddrFrom4(r.A))
		case *dnsmessage.AAAAResource:
			all = append(all, netip.AddrFrom16(r.AAAA))
		}
	}
	return all
}

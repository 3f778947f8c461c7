// Package testdns is a resolver for tests: on loopback, over UDP and TCP, and
// it answers what the test says.
package testdns

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// Answer makes the answer to a query that came over "udp" or "tcp". Nil is no
// answer.
type Answer func(q dnsmessage.Message, network string) *dnsmessage.Message

// Serve answers until the test ends.
func Serve(tb testing.TB, answer Answer) netip.AddrPort {
	tb.Helper()
	return ServeOn(tb, "127.0.0.1:0", answer)
}

// ServeOn is Serve on an address; with port 0 it finds one.
func ServeOn(tb testing.TB, address string, answer Answer) netip.AddrPort {
	tb.Helper()
	return serve(tb, address, func(raw []byte, network string) []byte {
		var q dnsmessage.Message
		if err := q.Unpack(raw); err != nil {
			tb.Error(err)
			return nil
		}
		m := answer(q, network)
		if m == nil {
			return nil
		}
		out, err := m.Pack()
		if err != nil {
			tb.Error(err)
		}
		return out
	})
}

func serve(tb testing.TB, address string, answer func(query []byte, network string) []byte) netip.AddrPort {
	tb.Helper()
	udp, tcp := listen(tb, address)
	tb.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := udp.ReadFrom(buffer)
			if err != nil {
				return
			}
			if out := answer(buffer[:n], "udp"); out != nil {
				_, _ = udp.WriteTo(out, from)
			}
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go overTCP(c, answer)
		}
	}()
	return udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

// listen finds a port that is free for both.
func listen(tb testing.TB, address string) (net.PacketConn, net.Listener) {
	tb.Helper()
	for range 20 {
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			tb.Fatal(err)
		}
		if tcp, err := net.Listen("tcp", udp.LocalAddr().String()); err == nil {
			return udp, tcp
		}
		udp.Close()
	}
	tb.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func overTCP(c net.Conn, answer func([]byte, string) []byte) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, raw); err != nil {
		return
	}
	if out := answer(raw, "tcp"); out != nil {
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
	}
}

// Records is a secure answer: these records, or that there are none.
func Records(q dnsmessage.Message, ttl uint32, records ...srv.Record) *dnsmessage.Message {
	m := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.ID, Response: true, AuthenticData: true, RecursionAvailable: true},
		Questions: q.Questions,
	}
	for _, r := range records {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.SRVResource{Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: dnsmessage.MustNewName(r.Target + ".")},
		})
	}
	return m
}

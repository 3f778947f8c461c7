package ke

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// said is a connection to a server that says what it likes, and nothing more.
type said struct {
	speech
	wrote  [][]byte
	closed int
}

func (c *said) Write(b []byte) (int, error) {
	c.wrote = append(c.wrote, bytes.Clone(b))
	return len(b), nil
}

func (c *said) Close() error { c.closed++; return nil }

func (*said) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }
func (*said) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:4460"))
}
func (*said) SetDeadline(time.Time) error      { return nil }
func (*said) SetReadDeadline(time.Time) error  { return nil }
func (*said) SetWriteDeadline(time.Time) error { return nil }

// FuzzClient is the client behind the handshake, with a server that says what it
// likes. What comes of it is keys and cookies as they were asked for, or an
// error that says whose fault it was in one line; no more is read than the bound
// allows, and the connection is closed.
func FuzzClient(f *testing.F) {
	pair := stand(f)
	established := "8001 0002 0000 8004 0002 000f 0005 0004 c0c0c0c0"
	for _, digits := range []string{
		"", established + eom, established, "8001 0002 0000 8004 0002 0011" + strings.Repeat("0005 0001 aa", 9) + eom,
		established + "8006 000f 6e74702e6578616d706c652e6e6574 8007 0002 1f90 8008 0000" + eom,
		established + "0006 0007 3a3a312565746830" + eom, established + "0007 0002 0000" + eom, established + "0005 0000" + eom,
		"8001 0000" + eom, "8001 0002 0000 8004 0000" + eom, errorOne, "8002 0002 0002" + eom, "8002 0002 ffff" + eom, "8002 0000" + eom,
		"8003 0002 0000" + eom, "8001 0002 8000 8004 0002 000f 0005 0001 aa" + eom, "8001 0002 0000 8004 0002 001e 0005 0001 aa 0400 0000" + eom,
		established + eom + established + eom, "0005 ffff", "ffff 0000" + eom,
	} {
		for how := range byte(8) {
			f.Add(fromHex(digits), how|how<<3)
		}
	}
	f.Add(bytes.Repeat([]byte{0x7f, 0xff, 0, 0}, nts.MaxResponse/4+1), byte(0))
	f.Fuzz(func(t *testing.T, octets []byte, how byte) {
		c := &said{speech: speech{rest: octets, piece: pieces[how&3], end: ends[how>>2&3]}}
		client := Client{
			Dial: func(context.Context, string, string) (net.Conn, error) { return c, nil },
			Handshake: func(raw net.Conn, _ *tls.Config) (net.Conn, tls.ConnectionState, error) {
				return raw, pair.client.ConnectionState(), nil
			},
		}
		req := ClientRequest{Host: "192.0.2.1", Port: 4460}
		if how&16 != 0 {
			req.Algorithms = []aead.Algorithm{aead.AESSIVCMAC256}
		}
		got, err := client.Exchange(context.Background(), req)
		if c.closed != 1 || c.read > nts.MaxResponse+4096 {
			t.Fatalf("closed %d times after %d octets", c.closed, c.read)
		}
		asked := theRequest(t, c.wrote)
		want := classOf(octets, asked, ends[how>>2&3])
		var e *Error
		switch {
		case err == nil && want != "":
			t.Fatalf("%+v instead of an error: %s", got, want)
		case err == nil:
			checkResult(t, got, asked, octets, pair)
		case !errors.As(err, &e) || e.Class.String() != want:
			t.Fatalf("%v instead of %q", err, want)
		case e.Host != req.Host || e.Port != req.Port || oneLine(e.What+e.Hint) != e.What+e.Hint || strings.ContainsAny(err.Error(), "\r\n\x1b"):
			t.Fatalf("%q", err)
		}
	})
}

// theRequest is what was asked, whole and in one write.
func theRequest(t *testing.T, wrote [][]byte) nts.KeyExchange {
	t.Helper()
	if len(wrote) != 1 {
		t.Fatalf("%d writes", len(wrote))
	}
	req, err := nts.DecodeRequest(wrote[0], nil)
	asked, ok := req.(nts.KeyExchange)
	if err != nil || !ok {
		t.Fatalf("%x: %v", wrote[0], err)
	}
	return asked
}

// classOf is the class of the error for what a server said before it fell
// silent, or empty if nothing was wrong with it.
func classOf(octets []byte, asked nts.KeyExchange, end error) string {
	msg, _, whole := first(octets, nts.MaxResponse)
	if !whole {
		if tooLong(octets) {
			return "protocol"
		}
		return networkError("", end).Class.String()
	}
	resp, err := nts.DecodeResponse(msg)
	if err != nil {
		return "protocol"
	}
	switch a := resp.(type) {
	case nts.Failure:
		return "server-error"
	case nts.NoOverlap:
		return "no-overlap"
	case nts.Established:
		if slices.Contains(asked.Protocols, a.Protocol) && slices.Contains(asked.Algorithms, a.Algorithm) {
			return ""
		}
	}
	return "protocol"
}

// tooLong reports whether a message is known not to end within the bound, by
// the octets that came.
func tooLong(octets []byte) bool {
	at := 0
	for at+nts.HeaderLen <= min(len(octets), nts.MaxResponse) {
		_, n := nts.ParseHeader([nts.HeaderLen]byte(octets[at:]))
		at += nts.HeaderLen + n
	}
	return at+nts.HeaderLen > nts.MaxResponse && (at > nts.MaxResponse || at <= len(octets))
}

// checkResult checks what the rest of the daemon relies on.
func checkResult(t *testing.T, got Result, asked nts.KeyExchange, octets []byte, pair *standing) {
	t.Helper()
	c2s, s2c, err := nts.ExportKeys(pair.state.ExportKeyingMaterial, nts.NTPv4, got.Algorithm, got.Algorithm.KeyLen())
	if err != nil || !slices.Contains(asked.Algorithms, got.Algorithm) || !bytes.Equal(got.C2S, c2s) || !bytes.Equal(got.S2C, s2c) || len(c2s) == 0 {
		t.Fatalf("keys of %d and %d octets for %v, %v", len(got.C2S), len(got.S2C), got.Algorithm, err)
	}
	if n := len(got.Cookies); n == 0 || n > nts.MaxCookies {
		t.Fatalf("%d cookies", n)
	}
	for _, c := range got.Cookies {
		if len(c) == 0 || len(c) > nts.MaxCookie || !bytes.Contains(octets, c) {
			t.Fatalf("cookie %x", c)
		}
	}
	if !nts.ValidServer(got.Server) || got.Port == 0 || got.ServerNamed != (got.Server != "192.0.2.1") && !bytes.Contains(octets, []byte(got.Server)) {
		t.Fatalf("server %q, port %d", got.Server, got.Port)
	}
}

package nts

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const (
	oneCookie = "0005 0004 01020304"
	answered  = ntpv4 + siv256 + oneCookie
)

func runResponses(t *testing.T, decode func([]byte) (Response, error), cases []requestCase) {
	t.Helper()
	for _, c := range cases {
		_, err := decode(fromHex(c.wire + eom))
		if !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

// RFC 8915 section 4.1.3: "If clients receive a server response that includes
// an Error record, they MUST discard any key material".
func TestRFC8915Section4_1_3ErrorComesFirst(t *testing.T) {
	for _, wire := range []string{
		"8002 0002 0002",
		answered + "8002 0002 0002",
		"8002 0002 0002" + ntpv4,    // as ntpd-rs up to 1.6 answered
		"0002 0002 0002" + answered, // the critical bit is missing, the error is not
		"c032 0000" + "8002 0002 0002",
	} {
		for _, decode := range []func([]byte) (Response, error){DecodeResponse, DecodeSupported, DecodeNames} {
			got, err := decode(fromHex(wire + eom))
			if err != nil || got != (Failure{InternalServerError}) {
				t.Errorf("%s: %v, %v", wire, got, err)
			}
		}
	}
	runResponses(t, DecodeResponse, []requestCase{
		{"one octet", "8002 0001 00", ErrMalformed},
		{"three octets", "8002 0003 000000", ErrMalformed},
	})
}

// RFC 8915 section 4.1.4: "Unrecognized warning codes MUST be treated as
// errors"; none are defined. "Its body is exactly two octets long", "The Critical
// Bit MUST be set": one that breaks this is no less an error, wherever it stands.
func TestRFC8915Section4_1_4WarningIsAnError(t *testing.T) {
	for _, warning := range []string{
		"8003 0002 0000", "8003 0002 ffff",
		"8003 0000", "8003 0001 00", "8003 0003 000000", // not two octets
		"0003 0002 0000", "0003 0000", // not critical, which does not make it one to pass over
	} {
		runResponses(t, DecodeResponse, []requestCase{
			{"Warning behind: " + warning, answered + warning, ErrMalformed},
			{"Warning in front: " + warning, warning + answered, ErrMalformed},
		})
		runRequests(t, nil, []requestCase{{"Warning of a client: " + warning, ordinary + warning, ErrMalformed}})
	}
	runResponses(t, DecodeResponse, []requestCase{{"no Warning", answered, nil}})
}

func TestRFC8915Section4_1Answers(t *testing.T) {
	const server, port = "8006 0003 612e62", "8007 0002 04cf"
	runResponses(t, DecodeResponse, []requestCase{
		{"complete", answered + server + port, nil},
		{"not critical server and port", answered + "0006 0003 612e62 0007 0002 04cf", nil},
		{"no Next Protocol", siv256 + oneCookie, ErrMalformed},
		{"Next Protocol twice", ntpv4 + answered, ErrMalformed},
		{"Next Protocol not critical", "0001 0002 0000" + siv256 + oneCookie, ErrMalformed},
		{"Next Protocol of odd length", "8001 0001 00" + siv256 + oneCookie, ErrMalformed},
		{"two protocols", "8001 0004 0000 8001" + siv256 + oneCookie, ErrMalformed},
		{"no AEAD", ntpv4 + oneCookie, ErrMalformed},
		{"AEAD twice", answered + siv256, ErrMalformed},
		{"two algorithms", ntpv4 + "8004 0004 000f 0011" + oneCookie, ErrMalformed},
		{"AEAD of odd length", ntpv4 + "8004 0001 0f" + oneCookie, ErrMalformed},
		{"no cookie", ntpv4 + siv256, ErrMalformed},
		{"empty cookie", answered + "0005 0000", ErrMalformed},
		{"cookie of 1024", answered + "0005 0400" + strings.Repeat("01", 1024), nil},
		{"cookie of 1025", answered + "0005 0401" + strings.Repeat("01", 1025), ErrMalformed},
		{"two servers", answered + server + server, ErrMalformed},
		{"server with a space", answered + "8006 0003 612062", ErrMalformed},
		{"two ports", answered + port + port, ErrMalformed},
		{"port 0", answered + "8007 0002 0000", ErrMalformed},
		{"port of three octets", answered + "8007 0003 0004cf", ErrMalformed},
		{"unknown", answered + "40ff 0000", nil},
		{"unknown critical", answered + "c0ff 0000", ErrUnrecognizedCritical},
		{"list", answered + "000a 0004 000f0020", nil},
		{"critical list", answered + "800a 0004 000f0020", ErrUnrecognizedCritical},
		{"fixed key", answered + "000c 0002 0102", nil},
		{"critical fixed key", answered + "800c 0002 0102", ErrUnrecognizedCritical},
		{"critical names", answered + "800b 0000", ErrUnrecognizedCritical},
		{"critical Deny", answered + "800d 0003 612e62", ErrUnrecognizedCritical},
		{"token", answered + token3, nil},
		{"keep alive", answered + "0008 0000", nil},
	})
}

// RFC 8915 section 4.1.6: servers "SHOULD send eight" cookies; a ninth is
// dropped.
func TestNinthCookieIsDropped(t *testing.T) {
	got, err := DecodeResponse(fromHex(answered + strings.Repeat("0005 0001 09", 8) + eom))
	est, ok := got.(Established)
	if err != nil || !ok || len(est.Cookies) != MaxCookies || len(est.Cookies[0]) != 4 {
		t.Errorf("decoded as %v, %v", got, err)
	}
}

// RFC 8915 section 4.1.7: "either an IPv4 address, an IPv6 address, or a fully
// qualified domain name", in ASCII, without a zone.
func TestRFC8915Section4_1_7Server(t *testing.T) {
	for _, good := range []string{
		"ntp.example.net", "ntp.example.net.", "localhost", "xn--bcher-kva.example", "a_b.example",
		"192.0.2.1", "127.0.0.1", "2001:db8::1", "::1", "::ffff:192.0.2.1", "1and1.example", "3com",
		strings.Repeat("a", 63) + ".example", "3.pool.ntp.example",
	} {
		if !ValidServer(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{
		"", ".", "a..b", ".a", "a b", "a\nb", "a\x00", "bücher.example", "-a.example", "a-.example",
		"fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "1.2.3", "1.2.3.4.5", "1.2.3.256",
		"[::1]", "example:123", "a/b", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 128),
	} {
		if ValidServer(bad) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// RFC 8915 section 4.1.7: "If the record contains a domain name, the recipient
// MUST treat it as a FQDN, e.g., by making sure it ends with a dot."
func TestRFC8915Section4_1_7RootedNames(t *testing.T) {
	for in, want := range map[string]string{
		"ntp.example": "ntp.example.", "ntp.example.": "ntp.example.", "192.0.2.1": "192.0.2.1", "::1": "::1",
	} {
		if got := Rooted(in); got != want {
			t.Errorf("Rooted(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSameServer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"ntp.example", "NTP.Example.", true},
		{"ntp.example", "ntp.example..", false},
		{"ntp1.example", "ntp2.example", false},
		{"2001:db8::1", "2001:0DB8:0::1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
	} {
		if SameServer(c.a, c.b) != c.same {
			t.Errorf("SameServer(%q, %q) is not %v", c.a, c.b, c.same)
		}
	}
}

func TestSupportedAnswers(t *testing.T) {
	runResponses(t, DecodeSupported, []requestCase{
		{"both lists", "8009 0002 0000 800a 0004 000f0020", nil},
		{"draft numbers", "c004 0002 0000 c001 0004 000f0020 4000 0000", nil},
		{"empty lists", "8009 0000 800a 0000", nil},
		{"neither", "0008 0000", ErrMalformed},
		{"dialects mixed", "8009 0002 0000 c001 0004 000f0020", ErrMalformed},
		{"keep alive of the other dialect", "8009 0002 0000 4000 0000", ErrMalformed},
		{"protocols of odd length", "8009 0003 000000", ErrMalformed},
		{"algorithms of six octets", "800a 0006 000f00200011", ErrMalformed},
		{"list twice", "800a 0004 000f0020 800a 0004 000f0020", ErrMalformed},
		{"unknown critical", "800a 0004 000f0020 c032 0000", ErrUnrecognizedCritical},
		{"Warning", "800a 0004 000f0020 8003 0002 0000", ErrMalformed},
	})
	// The first generation of sources answers with a key exchange as well.
	got, err := DecodeSupported(fromHex("c001 0008 000f0020 00110040" + answered + oneCookie + eom))
	want := Supported{Dialect: Draft, Algorithms: []SupportedAlgorithm{{15, 32}, {17, 64}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded as %v, %v", got, err)
	}
}

// RFC 8915 section 4: a message is "terminated by a End of Message record".
func TestCutOffAnswers(t *testing.T) {
	for _, wire := range []string{"", "80", answered, answered + "8000 0001", answered + eom + "00", "8002 0002 0001"} {
		for _, decode := range []func([]byte) (Response, error){DecodeResponse, DecodeSupported, DecodeNames} {
			if got, err := decode(fromHex(wire)); !errors.Is(err, ErrMalformed) || got != nil {
				t.Errorf("%q: %v, %v", wire, got, err)
			}
		}
	}
}

func TestNamesAnswers(t *testing.T) {
	runResponses(t, DecodeNames, []requestCase{
		{"none", "0008 0000", nil},
		{"three", "8006 0003 612e62 8006 0003 612e63 8006 0001 61", nil},
		{"a bad one", "8006 0003 612e62 8006 0000", ErrMalformed},
	})
}

package nts

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// The records that tests put together. Digits only, so that what is on the
// wire can be read here.
const (
	eom      = "8000 0000"
	ntpv4    = "8001 0002 0000"
	siv256   = "8004 0002 000f"
	ordinary = ntpv4 + siv256
	keys256  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	fixed256 = "800c 0040" + keys256
	token3   = "000e 0003 616263" // "abc"
)

type requestCase struct {
	name string
	wire string // without End of Message
	want error  // nil: it decodes
}

func runRequests(t *testing.T, authorised func(Secret) bool, cases []requestCase) {
	t.Helper()
	for _, c := range cases {
		_, err := DecodeRequest(fromHex(c.wire+eom), authorised)
		if !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

// RFC 8915 section 4.1.1: End of Message has "a zero-length body. It MUST
// occur exactly once as the final record [...]. The Critical Bit MUST be set."
func TestRFC8915Section4_1_1EndOfMessage(t *testing.T) {
	for name, wire := range map[string]string{
		"missing":               ordinary,
		"empty message":         "",
		"with a body":           ordinary + "8000 0001 00",
		"not critical":          ordinary + "0000 0000",
		"twice":                 ordinary + eom + eom,
		"not last":              ntpv4 + eom + siv256,
		"cut in a header":       ordinary + "8000 00",
		"cut in a body":         ordinary + "8001 0004 0000",
		"length beyond the end": ordinary + "8000 ffff",
	} {
		if _, err := DecodeRequest(fromHex(wire), nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
		if _, err := SplitMessage(fromHex(wire)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: split with error %v, want ErrMalformed", name, err)
		}
	}
}

// RFC 8915 section 4: "Implementations which receive a record with an
// unrecognized Record Type MUST ignore the record if the Critical Bit is 0 and
// MUST treat it as an error if the Critical Bit is 1".
func TestRFC8915Section4UnrecognizedRecords(t *testing.T) {
	runRequests(t, nil, []requestCase{
		{"unknown, not critical", ordinary + "4032 0003 010203", nil},
		{"unknown, critical", ordinary + "c032 0000", ErrUnrecognizedCritical},
		{"unknown critical before something malformed", "c032 0000" + ntpv4 + ntpv4, ErrUnrecognizedCritical},
		{"something malformed before unknown critical", ntpv4 + ntpv4 + "c032 0000", ErrUnrecognizedCritical},
	})
	if CodeOf(fmt.Errorf("x: %w", ErrUnrecognizedCritical)) != UnrecognizedCriticalRecord {
		t.Error("an unrecognized critical record is not answered with Error 0")
	}
	if CodeOf(ErrMalformed) != BadRequest {
		t.Error("a malformed message is not answered with Error 1")
	}
}

// RFC 8915 section 4: "servers MUST accept requests of at least 1024 octets".
func TestRFC8915Section4LongRequests(t *testing.T) {
	filler := "4032 0100" + strings.Repeat("55", 256)
	wire := fromHex(strings.Repeat(filler, 4) + ordinary + eom)
	if len(wire) < 1024 || MaxRequest < 1024 {
		t.Fatalf("a request of %d octets proves nothing", len(wire))
	}
	got, err := DecodeRequest(wire, nil)
	want := KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{15}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded as %v, %v", got, err)
	}
}

// RFC 8915 section 4.1.2: Next Protocol Negotiation "MUST occur exactly once",
// "The Critical Bit MUST be set", "The request MUST list at least one
// protocol".
func TestRFC8915Section4_1_2NextProtocol(t *testing.T) {
	runRequests(t, nil, []requestCase{
		{"once", ordinary, nil},
		{"missing", siv256, ErrMalformed},
		{"twice", ntpv4 + ordinary, ErrMalformed},
		{"not critical", "0001 0002 0000" + siv256, ErrMalformed},
		{"empty", "8001 0000" + siv256, ErrMalformed},
		{"odd length", "8001 0003 000000" + siv256, ErrMalformed},
		{"several protocols", "8001 0004 8001 0000" + siv256, nil},
	})
}

// RFC 8915 sections 4.1.3, 4.1.4 and 4.1.6: clients MUST NOT send Error,
// Warning and New Cookie records.
func TestRFC8915ClientsMustNotSend(t *testing.T) {
	runRequests(t, nil, []requestCase{
		{"Error", ordinary + "8002 0002 0001", ErrMalformed},
		{"Warning", ordinary + "8003 0002 0001", ErrMalformed},
		{"New Cookie", ordinary + "0005 0004 01020304", ErrMalformed},
	})
}

// RFC 8915 section 4.1.5: if NTPv4 is offered "then this record MUST be
// included exactly once", "In requests, the list MUST include at least one
// algorithm", "The Critical Bit MAY be set".
func TestRFC8915Section4_1_5Algorithm(t *testing.T) {
	runRequests(t, nil, []requestCase{
		{"not critical", ntpv4 + "0004 0002 000f", nil},
		{"missing", ntpv4, ErrMalformed},
		{"missing, NTPv4 among others", "8001 0004 8001 0000", ErrMalformed},
		{"missing without NTPv4", "8001 0002 8001", nil},
		{"twice", ordinary + siv256, ErrMalformed},
		{"empty", ntpv4 + "8004 0000", ErrMalformed},
		{"odd length", ntpv4 + "8004 0003 000f00", ErrMalformed},
	})
}

// RFC 8915 section 4.1.7: a client "MUST NOT send more than one record of this
// type"; what may stand in it, see TestRFC8915Section4_1_7Server.
func TestRFC8915Section4_1_7And8ClientWish(t *testing.T) {
	const server, port = "0006 0009 312e322e332e342e35", "0007 0002 04cf"
	runRequests(t, nil, []requestCase{
		{"a name", ordinary + "0006 0003 612e62" + port, nil},
		{"not a name", ordinary + server, ErrMalformed},
		{"two names", ordinary + "0006 0003 612e62" + "0006 0003 612e62", ErrMalformed},
		{"port of one octet", ordinary + "0007 0001 7b", ErrMalformed},
		{"port 0", ordinary + "0007 0002 0000", ErrMalformed},
		{"two ports", ordinary + port + port, ErrMalformed},
	})
	// "Servers MAY set the Critical Bit on records of this type; clients SHOULD
	// NOT."
	wire := fromHex(ordinary + "0006 0003 612e62" + port + eom)
	got, err := DecodeRequest(wire, nil)
	if again, eerr := AppendRequest(nil, got); eerr != nil || !bytes.Equal(again, wire) {
		t.Errorf("encoded as %x, %v", again, eerr)
	}
	if q, ok := got.(KeyExchange); err != nil || !ok || q.Server != "a.b" || q.Port != 1231 {
		t.Errorf("decoded as %v, %v", got, err)
	}
}

// A pool record of somebody who is not authorised is an unknown record: an
// error if it is critical, ignored otherwise, even if it is malformed.
func TestPoolRecordsDoNotExistForOthers(t *testing.T) {
	plainRequest := KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{15}}
	for _, numbers := range [][]uint16{
		{TypeKeepAlive, TypeSupportedProtocols, TypeSupportedAlgorithms, TypeListNames, TypeFixedKey, TypeToken},
		{TypeDraftKeepAlive, TypeDraftSupportedProtocols, TypeDraftSupportedAlgorithms, TypeDraftListNames, TypeDraftFixedKey, TypeDraftToken},
	} {
		for _, n := range numbers {
			for _, body := range []string{"0000", "0003 616263"} {
				wire := fmt.Sprintf("%04x", n) + body
				got, err := DecodeRequest(fromHex(wire+ordinary+wire+eom), nil)
				if err != nil || !reflect.DeepEqual(got, plainRequest) {
					t.Errorf("record %#x, not critical: decoded as %v, %v", n, got, err)
				}
				wire = fmt.Sprintf("%04x", n|criticalBit) + body
				if _, err := DecodeRequest(fromHex(ordinary+wire+eom), nil); !errors.Is(err, ErrUnrecognizedCritical) {
					t.Errorf("record %#x, critical: error %v, want ErrUnrecognizedCritical", n, err)
				}
			}
		}
	}
	// Both errors at once: the sender learns that it is not known here.
	wrong := fromHex("000e 0003 616264" + "800c 0003 000102" + ordinary + eom)
	if _, err := DecodeRequest(wrong, onlyABC); !errors.Is(err, ErrUnrecognizedCritical) {
		t.Errorf("wrong token: error %v, want ErrUnrecognizedCritical", err)
	}
}

// onlyABC authorises the token "abc".
func onlyABC(token Secret) bool { return string(token) == "abc" }

func TestAuthorisation(t *testing.T) {
	ask := "8009 0000"
	cases := []struct {
		name, wire string
		ok         bool
	}{
		{"token first", token3 + ask, true},
		{"token last", ask + token3, true},
		{"draft number of the token", "4005 0003 616263" + ask, true},
		{"critical token", "800e 0003 616263" + ask, true},
		{"no token", ask, false},
		{"empty token", "000e 0000" + ask, false},
		{"last octet wrong", "000e 0003 616264" + ask, false},
		{"longer", "000e 0004 61626300" + ask, false},
	}
	for _, c := range cases {
		_, err := DecodeRequest(fromHex(c.wire+eom), onlyABC)
		if ok := err == nil; ok != c.ok {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
	byConnection := func(token Secret) bool { return token == nil }
	if _, err := DecodeRequest(fromHex(ask+eom), byConnection); err != nil {
		t.Errorf("authorised by the connection: %v", err)
	}
	// An empty token is never shown to the authoriser, who might take it for
	// the question about the connection.
	DecodeRequest(fromHex("000e 0000"+ask+eom), func(token Secret) bool {
		if token != nil {
			t.Errorf("asked about the empty token")
		}
		return false
	})
}

// What an authorised pool may put together, and what not.
func TestPoolRequests(t *testing.T) {
	runRequests(t, onlyABC, []requestCase{
		{"protocols only", token3 + "8009 0000", nil},
		{"algorithms only", token3 + "800a 0000", nil},
		{"body of a question is ignored", token3 + "800a 0003 010203", nil},
		{"critical bits missing", token3 + "0009 0000 000a 0000", nil},
		{"keep alive with a body, critical", token3 + "8009 0000 8008 0002 0003", nil},
		{"list twice", token3 + "8009 0000 8009 0000", ErrMalformed},
		{"token twice", token3 + token3 + "8009 0000", ErrMalformed},
		{"list and Next Protocol", token3 + "8009 0000" + ntpv4, ErrMalformed},
		{"list and AEAD", token3 + "8009 0000" + siv256, ErrMalformed},
		{"list and fixed key", token3 + "8009 0000" + fixed256 + ordinary, ErrMalformed},
		{"names and list", token3 + "800b 0000 8009 0000", ErrMalformed},
		{"names and Next Protocol", token3 + "800b 0000" + ntpv4, ErrMalformed},
		{"names and fixed key", token3 + "800b 0000" + fixed256, ErrMalformed},
		{"fixed key", token3 + fixed256 + ordinary, nil},
		{"fixed key twice", token3 + fixed256 + fixed256 + ordinary, ErrMalformed},
		{"fixed key without protocol", token3 + fixed256 + siv256, ErrMalformed},
		{"fixed key without algorithm", token3 + fixed256 + ntpv4, ErrMalformed},
		{"fixed key, two protocols", token3 + fixed256 + "8001 0004 0000 8001" + siv256, ErrMalformed},
		{"fixed key, two algorithms", token3 + fixed256 + ntpv4 + "8004 0004 000f 0011", ErrMalformed},
		{"keys of 63 octets", token3 + "800c 003f" + keys256[2:] + ordinary, ErrMalformed},
		{"keys of 66 octets", token3 + "800c 0042 0000" + keys256 + ordinary, ErrMalformed},
		{"keys of 0 octets", token3 + "800c 0000" + ordinary, ErrMalformed},
		{"odd keys for an algorithm unknown here", token3 + "800c 0003 010203" + ntpv4 + "8004 0002 0063", ErrMalformed},
		{"keys for another algorithm", token3 + fixed256 + ntpv4 + "8004 0002 0011", ErrMalformed},
		{"keys for an algorithm unknown here", token3 + fixed256 + ntpv4 + "8004 0002 0063", nil},
		{"key exchange with keep alive", token3 + ordinary + "0008 0000", nil},
		{"nothing but a token", token3, ErrMalformed},
		{"unknown critical", token3 + "8009 0000 c032 0000", ErrUnrecognizedCritical},
	})
}

// A message speaks one dialect; tokens and Deny records may have either
// number.
func TestDialectsDoNotMix(t *testing.T) {
	draftToken := "4005 0003 616263"
	runRequests(t, onlyABC, []requestCase{
		{"IANA lists, draft token", draftToken + "8009 0000 800a 0000", nil},
		{"draft lists, IANA token", token3 + "c004 0000 c001 0000", nil},
		{"IANA and draft list", token3 + "8009 0000 c001 0000", ErrMalformed},
		{"IANA list, draft keep alive", token3 + "8009 0000 4000 0000", ErrMalformed},
		{"draft keys, IANA keep alive", token3 + "c002 0040" + keys256 + ordinary + "0008 0000", ErrMalformed},
		{"Deny in both", "000d 0003 612e62 4003 0003 612e62" + ordinary, nil},
	})
}

// Number 0x4005 is List Server Names if it is critical and empty, and
// otherwise a token.
func TestDraft4005HasTwoMeanings(t *testing.T) {
	got, err := DecodeRequest(fromHex("c005 0000"+eom), everybody)
	if _, ok := got.(Names); !ok || err != nil {
		t.Errorf("critical and empty: %v, %v", got, err)
	}
	for _, wire := range []string{"4005 0003 616263", "c005 0003 616263"} {
		if got, err := DecodeRequest(fromHex(wire+"c004 0000"+eom), onlyABC); err != nil {
			t.Errorf("%s: %v, %v", wire, got, err)
		}
	}
	if _, err := DecodeRequest(fromHex("4005 0000 c004 0000"+eom), onlyABC); !errors.Is(err, ErrUnrecognizedCritical) {
		t.Errorf("empty token: %v", err)
	}
}

func TestDenyRecords(t *testing.T) {
	wire := ordinary + "000d 0003 612e62" + "800d 0003 632e64" + "000d 0002 0a20" + "000d 0000"
	got, err := DecodeRequest(fromHex(wire+eom), nil)
	q, ok := got.(KeyExchange)
	if err != nil || !ok {
		t.Fatalf("decoded as %v, %v", got, err)
	}
	if want := []Deny{{"a.b", IANA}, {"c.d", IANA}}; !reflect.DeepEqual(q.Deny, want) {
		t.Errorf("denies %v, want %v", q.Deny, want)
	}
}

func TestTooLongForARecord(t *testing.T) {
	long := KeyExchange{Protocols: []Protocol{NTPv4}, Deny: []Deny{{strings.Repeat("a", MaxBody+1), IANA}}}
	if _, err := AppendRequest(nil, long); !errors.Is(err, ErrEncode) {
		t.Errorf("error %v, want ErrEncode", err)
	}
	largest := Record{Type: 0x7fff, Body: make([]byte, MaxBody)}
	if b, err := AppendRecord(nil, largest); err != nil || len(b) != HeaderLen+MaxBody {
		t.Errorf("the largest record: %d octets, %v", len(b), err)
	}
	if _, err := AppendRecord(nil, Record{Type: 0x8000}); !errors.Is(err, ErrEncode) {
		t.Errorf("error %v, want ErrEncode", err)
	}
	if _, err := AppendRequest(nil, nil); !errors.Is(err, ErrEncode) {
		t.Errorf("error %v, want ErrEncode", err)
	}
}

// Without algorithms there is no AEAD record: only NTPv4 needs one.
func TestRequestWithoutAlgorithms(t *testing.T) {
	got, err := AppendRequest(nil, KeyExchange{Protocols: []Protocol{0x8001}})
	if want := fromHex("8001 0002 8001" + eom); err != nil || !bytes.Equal(got, want) {
		t.Errorf("encoded as %x, %v", got, err)
	}
}

func TestWantsKeepAlive(t *testing.T) {
	for _, q := range []Request{Information{KeepAlive: true}, Names{KeepAlive: true}, FixedKey{KeepAlive: true}} {
		if !WantsKeepAlive(q) {
			t.Errorf("%T does not want it", q)
		}
	}
	for _, q := range []Request{Information{}, Names{}, FixedKey{}, KeyExchange{}} {
		if WantsKeepAlive(q) {
			t.Errorf("%T wants it", q)
		}
	}
}

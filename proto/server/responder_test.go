package server

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// TestResponseHeader is figure 31 of RFC 5905, row by row.
func TestResponseHeader(t *testing.T) {
	for _, version := range []uint8{3, 4} {
		out, v := respond(t, plain(version), nil)
		want := proto.Header{
			Leap: proto.LeapInsert, Version: version, Mode: proto.ModeServer, Stratum: 2, Poll: 9, Precision: -23,
			RootDelay: 0x400, RootDispersion: 0x200, RefID: 0xc0000201, Reference: 0xed000000_00000000,
			Origin: 0xfedcba98_76543210, Receive: rxTime, Transmit: txTime,
		}
		if got := header(t, out); v != Accepted || got != want || len(out) != proto.HeaderLen {
			t.Errorf("version %d: %v, %d octets\n got %+v\nwant %+v", version, v, len(out), got, want)
		}
	}
}

// TestAppends: what is in dst stays, and a dropped request adds nothing.
func TestAppends(t *testing.T) {
	r := New(Config{Versions: Version3And4}, seeded(1))
	x := associate(t, aead.AESSIVCMAC256)
	for name, payload := range map[string][]byte{"plain": plain(4), "nts": x.request(t, 0), "dropped": plain(4)[:47]} {
		out, v := r.Respond([]byte("before"), from("192.0.2.9", payload), synchronised(), x.keys, transmitAt(txTime))
		if !bytes.HasPrefix(out, []byte("before")) || (len(out) > 6) != v.Answered() {
			t.Errorf("%s: %q %v", name, out, v)
		}
		if v == AcceptedNTS {
			if _, ok := x.open(t, out[6:]); !ok {
				t.Errorf("%s: not authenticated", name)
			}
		}
	}
}

// TestVersionsAndModes: of every version and mode, with and without what can
// come behind the header, only a client's request of version 3 or 4 is
// answered. So no response is, and servers cannot talk to each other forever.
func TestVersionsAndModes(t *testing.T) {
	for version := range uint8(8) {
		for mode := range proto.Mode(8) {
			for name, tail := range map[string][]byte{
				"header": nil, "crypto-NAK": make([]byte, 4), "MAC": make([]byte, 20), "long MAC": make([]byte, 24),
				"unique id": field(nil, proto.FieldUniqueIdentifier, uid(32)),
			} {
				h := clientHeader(version)
				h.Mode = mode
				out, v := respond(t, append(h.Append(nil), tail...), nil)
				want := Accepted
				switch {
				case mode != proto.ModeClient:
					want = WrongMode
				case version != 3 && version != 4:
					want = WrongVersion
				case version == 3 && name == "unique id":
					want = Malformed // version 3 has no extension fields
				}
				if v != want {
					t.Errorf("version %d, mode %d, %s: %v, want %v", version, mode, name, v, want)
				}
				if v == Accepted && header(t, out).Version != version {
					t.Errorf("version %d answered with %d", version, header(t, out).Version)
				}
			}
		}
	}
}

// TestShortModeSixAndSeven: the control requests that amplified.
func TestShortModeSixAndSeven(t *testing.T) {
	for _, n := range []int{1, 4, 8, 12, 47, 48, 192, 468} {
		for _, first := range []byte{0x16, 0x17, 0x1e, 0x97} {
			b := make([]byte, n)
			copy(b, []byte{first, 0, 3, 42})
			if out, v := respond(t, b, nil); len(out) != 0 || v.Answered() {
				t.Errorf("%d octets beginning %02x: %v", n, first, v)
			}
		}
	}
}

func TestAcceptedVersions(t *testing.T) {
	for _, test := range []struct {
		accept  Versions
		version uint8
		want    Verdict
	}{
		{Versions(0).With(3), 3, Accepted},
		{Versions(0).With(3), 4, WrongVersion},
		{Versions(0).With(4), 3, WrongVersion},
		{Versions(0).With(4), 4, Accepted},
		{0, 4, WrongVersion},
		{Versions(0).With(5).With(2), 5, WrongVersion}, // not built
		{Versions(0).With(5).With(2), 2, WrongVersion},
	} {
		if _, v := respondAs(t, Config{Versions: test.accept}, "192.0.2.9", plain(test.version), nil); v != test.want {
			t.Errorf("version %d where %08b are accepted: %v, want %v", test.version, test.accept, v, test.want)
		}
	}
}

// TestResponsesAreNotAnswered feeds a responder all it ever says.
func TestResponsesAreNotAnswered(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	denied := access(t, Rule{prefixes(t, "192.0.2.9/32"), Deny}, Everyone())
	bad := x.request(t, 0)
	bad[len(bad)-1] ^= 1
	said := map[Verdict][]byte{}
	collect := func(cfg Config, payload []byte) {
		cfg.Versions = Version3And4
		out, v := respondAs(t, cfg, "192.0.2.9", payload, x.keys)
		said[v] = out
	}
	collect(Config{}, plain(4))
	collect(Config{}, x.request(t, 2))
	collect(Config{}, bad)
	collect(Config{Access: denied}, plain(4))
	collect(Config{Access: denied}, x.request(t, 0))
	said[RateKissed] = rateKissed(t, plain(4))
	for _, v := range Verdicts() {
		if v.Answered() != (said[v] != nil) {
			t.Errorf("%v is missing here", v)
		}
	}
	for v, out := range said {
		if again, w := respond(t, out, x.keys); len(again) != 0 || w != WrongMode {
			t.Errorf("%v was answered with %v", v, w)
		}
	}
}

// rateKissed makes a responder say RATE.
func rateKissed(t testing.TB, payload []byte) []byte {
	t.Helper()
	cfg := Config{Versions: Version3And4, Limiter: strict(limiter(t, 8, 64*time.Second))}
	for i := range 9 {
		out, v := respondAs(t, cfg, "192.0.2.9", payload, nil)
		if v == RateKissed {
			return out
		}
		if want := (i == 0); v.Answered() != want {
			t.Fatalf("request %d: %v", i, v)
		}
	}
	t.Fatal("no kiss")
	return nil
}

// TestKissPackets is RFC 5905 section 7.4: stratum 0, the code, the origin
// timestamp, and nothing that could be taken for the time.
func TestKissPackets(t *testing.T) {
	want := proto.Header{
		Leap: proto.LeapUnsynchronised, Version: 4, Mode: proto.ModeServer, Poll: 9,
		RefID: proto.KissDeny, Origin: 0xfedcba98_76543210,
	}
	cfg := Config{Versions: Version3And4, RequireNTS: NTSOrDeny}
	out, v := respondAs(t, cfg, "192.0.2.9", plain(4), nil)
	if got := header(t, out); v != Denied || got != want || len(out) != proto.HeaderLen {
		t.Errorf("DENY: %v %+v", v, got)
	}
	want.RefID = proto.KissRate
	if got := header(t, rateKissed(t, plain(4))); got != want {
		t.Errorf("RATE: %+v", got)
	}
	// The poll field of RATE says how often the client may ask.
	h := clientHeader(4)
	h.Poll = 4
	if got := header(t, rateKissed(t, h.Append(nil))); got.Poll != 6 {
		t.Errorf("RATE for a limit of 64 s: poll %d", got.Poll)
	}
}

func TestAccess(t *testing.T) {
	ignore := access(t, Rule{prefixes(t, "198.51.100.0/24"), Ignore}, Everyone())
	deny := access(t, Rule{prefixes(t, "198.51.100.0/24"), Deny}, Everyone())
	x := associate(t, aead.AESSIVCMAC256)
	bad := x.request(t, 0)
	bad[len(bad)-1] ^= 1
	const listed, other = "198.51.100.1", "192.0.2.9"
	for _, test := range []struct {
		name    string
		access  *AccessList
		require Requirement
		client  string
		payload []byte
		want    Verdict
	}{
		{"others", deny, NTSOptional, other, plain(4), Accepted},
		{"ignored", ignore, NTSOptional, listed, plain(4), Refused},
		{"ignored before it is parsed", ignore, NTSOptional, listed, nil, Refused},
		{"denied", deny, NTSOptional, listed, plain(4), Denied},
		{"denied, version 3", deny, NTSOptional, listed, plain(3), Denied},
		{"denied, mapped", deny, NTSOptional, "::ffff:198.51.100.1", plain(4), Denied},
		{"denied, no client", deny, NTSOptional, listed, make([]byte, 48), WrongMode},
		{"denied, NTS", deny, NTSOptional, listed, x.request(t, 0), DeniedNTS},
		{"denied, bad NTS", deny, NTSOptional, listed, bad, Denied},
		{"bad NTS", deny, NTSOptional, other, bad, NAKed},

		{"ignore plain", nil, NTSOrIgnore, other, plain(4), NTSRequired},
		{"ignore plain, keep NTS", nil, NTSOrIgnore, other, x.request(t, 0), AcceptedNTS},
		{"ignore plain beats deny", deny, NTSOrIgnore, listed, plain(4), NTSRequired},
		{"a unique identifier is not NTS", nil, NTSOrIgnore, other, field(plain(4), proto.FieldUniqueIdentifier, uid(32)), NTSRequired},
		{"deny plain", nil, NTSOrDeny, other, plain(4), Denied},
		{"deny plain, keep NTS", nil, NTSOrDeny, other, x.request(t, 0), AcceptedNTS},
		{"deny plain, bad NTS", nil, NTSOrDeny, other, bad, NAKed},
		{"ignore plain, bad NTS", nil, NTSOrIgnore, other, bad, NAKed},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Versions: Version3And4, Access: test.access, RequireNTS: test.require}
			if _, v := respondAs(t, cfg, test.client, test.payload, x.keys); v != test.want {
				t.Errorf("%v, want %v", v, test.want)
			}
		})
	}
}

// TestLimitIsForThoseWhoAreAllowed: whoever is turned away leaves no trace in
// the limiter, and whoever is over the limit is dropped unparsed.
func TestLimitIsForThoseWhoAreAllowed(t *testing.T) {
	cfg := Config{
		Versions: Version3And4, Limiter: strict(limiter(t, 8, time.Second)),
		Access: access(t, Rule{prefixes(t, "198.51.100.0/24"), Deny}, Everyone()),
	}
	for range 3 {
		if _, v := respondAs(t, cfg, "198.51.100.1", plain(4), nil); v != Denied {
			t.Errorf("listed: %v", v)
		}
	}
	if got := cfg.Limiter.Check(atMono, netip.MustParseAddr("198.51.100.1")); got != Within {
		t.Errorf("a denied request counted: %v", got)
	}
	for i, want := range []Verdict{Accepted, RateLimited, RateLimited} {
		if _, v := respondAs(t, cfg, "192.0.2.9", plain(4), nil); v != want {
			t.Errorf("request %d: %v, want %v", i, v, want)
		}
	}
	if _, v := respondAs(t, cfg, "192.0.2.9", []byte("no packet"), nil); v != RateLimited {
		t.Errorf("no packet: %v", v)
	}
}

// TestRateKissOnlyToClients: a kiss that is due is not said to what is no
// client's request, nor in the clear where plain requests are ignored.
func TestRateKissOnlyToClients(t *testing.T) {
	answer := plain(4)
	answer[0] = answer[0]&^7 | byte(proto.ModeServer)
	for _, test := range []struct {
		payload []byte
		require Requirement
		want    Verdict
	}{
		{plain(4), NTSOptional, RateKissed},
		{answer, NTSOptional, WrongMode},
		{plain(4), NTSOrIgnore, NTSRequired},
		{plain(4)[:40], NTSOptional, Malformed},
	} {
		cfg := Config{Versions: Version3And4, RequireNTS: test.require, Limiter: strict(limiter(t, 8, time.Second))}
		for range 8 {
			cfg.Limiter.Check(atMono, netip.MustParseAddr("192.0.2.9"))
		}
		if _, v := respondAs(t, cfg, "192.0.2.9", test.payload, nil); v != test.want {
			t.Errorf("%x: %v, want %v", test.payload[0], v, test.want)
		}
	}
}

// TestMisdirected: nothing that went to many, or cannot be answered, is.
func TestMisdirected(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     Verdict
	}{
		{"192.0.2.9:123", "192.0.2.1", Accepted},
		{"192.0.2.9:1", "192.0.2.1", Accepted},
		{"192.0.2.9:0", "192.0.2.1", WrongTarget},
		{"192.0.2.9:123", "255.255.255.255", WrongTarget},
		{"192.0.2.9:123", "224.0.1.1", WrongTarget},
		{"[2001:db8::9]:123", "ff02::101", WrongTarget},
		{"224.0.1.1:123", "192.0.2.1", WrongTarget},
		{"0.0.0.0:123", "192.0.2.1", WrongTarget},
		{"[::]:123", "2001:db8::1", WrongTarget},
	} {
		q := from("192.0.2.9", plain(4))
		q.From, q.To = netip.MustParseAddrPort(test.from), netip.MustParseAddr(test.to)
		if _, v := New(Config{Versions: Version3And4}, nil).Respond(nil, q, synchronised(), nil, transmitAt(txTime)); v != test.want {
			t.Errorf("%s to %s: %v, want %v", test.from, test.to, v, test.want)
		}
	}
	q := from("192.0.2.9", plain(4))
	q.To = netip.Addr{}
	if _, v := New(Config{Versions: Version3And4}, nil).Respond(nil, q, synchronised(), nil, transmitAt(txTime)); v != Accepted {
		t.Errorf("to an unknown address: %v", v)
	}
}

// TestTimestamps: no response without both times, nor with times that a step of
// the clock lies between.
func TestTimestamps(t *testing.T) {
	for _, test := range []struct {
		name     string
		rx, tx   proto.Timestamp
		want     Verdict
		transmit proto.Timestamp
	}{
		{"usual", rxTime, txTime, Accepted, txTime},
		{"no receive timestamp", 0, txTime, NoTime, 0},
		{"no receive timestamp, in 2036", 0, proto.Timestamp(proto.Second), NoTime, 0},
		{"no transmit timestamp", rxTime, 0, NoTime, 0},
		{"noise", rxTime, rxTime.Add(-proto.Second / 1000), Accepted, rxTime},
		{"set back", rxTime, rxTime.Add(-proto.Second/1000 - 1), NoTime, 0},
		{"set far back", rxTime, rxTime.Add(-86400 * proto.Second), NoTime, 0},
		{"across an era", 0xffffffff_ffff0000, 0x00000000_00010000, Accepted, 0x00000000_00010000},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := associate(t, aead.AESSIVCMAC256)
			for _, payload := range [][]byte{plain(4), x.request(t, 0)} {
				q := from("192.0.2.9", payload)
				q.Rx.At = test.rx
				out, v := New(Config{Versions: Version3And4}, seeded(1)).Respond(nil, q, synchronised(), x.keys, transmitAt(test.tx))
				want := test.want
				if want == Accepted && len(payload) > proto.HeaderLen {
					want = AcceptedNTS
				}
				if v != want {
					t.Fatalf("%v, want %v", v, want)
				}
				check(t, payload, out, v)
				if v.Answered() {
					if h := header(t, out); h.Receive != test.rx || h.Transmit != test.transmit {
						t.Errorf("receive %v, transmit %v", h.Receive, h.Transmit)
					}
				}
			}
		})
	}
}

// TestClockIsReadOnce: by those responses that tell the time, and only then.
func TestClockIsReadOnce(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	for _, test := range []struct {
		cfg     Config
		payload []byte
		want    int
	}{
		{Config{}, plain(4), 1},
		{Config{}, x.request(t, 7), 1},
		{Config{RequireNTS: NTSOrDeny}, plain(4), 0},
		{Config{}, plain(4)[:47], 0},
	} {
		reads := 0
		test.cfg.Versions = Version3And4
		New(test.cfg, seeded(1)).Respond(nil, from("192.0.2.9", test.payload), synchronised(), x.keys, func() proto.Timestamp {
			reads++
			return txTime
		})
		if reads != test.want {
			t.Errorf("%d octets: clock read %d times, want %d", len(test.payload), reads, test.want)
		}
	}
}

// TestUniqueIdentifierIsEchoed: "All server packets generated by
// NTS-implementing servers in response to client packets containing this
// extension field MUST also contain this field with the same content as in the
// client's request" (RFC 8915 section 5.3).
func TestUniqueIdentifierIsEchoed(t *testing.T) {
	x := associate(t, aead.AESSIVCMAC256)
	denied := access(t, Rule{Action: Deny}, Rule{Action: Deny})
	for _, n := range []int{32, 36, 64, 1024, 65000} {
		id := field(plain(4), proto.FieldUniqueIdentifier, uid(n))
		nts := x.seal(t, field(bytes.Clone(id), proto.FieldCookie, x.cookie), nil)
		nak := bytes.Clone(nts)
		nak[len(nak)-1] ^= 1
		for name, out := range map[string][]byte{
			"time":           first(respond(t, id, x.keys)),
			"DENY":           first(respondAs(t, Config{Versions: Version3And4, Access: denied}, "192.0.2.9", id, nil)),
			"RATE":           rateKissed(t, id),
			"protected":      first(respond(t, nts, x.keys)),
			"NTSN":           first(respond(t, nak, x.keys)),
			"protected DENY": first(respondAs(t, Config{Versions: Version3And4, Access: denied}, "192.0.2.9", nts, x.keys)),
		} {
			p, err := proto.ParsePacket(out)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var ids [][]byte
			for f := range p.All() {
				if f.Type == proto.FieldUniqueIdentifier {
					ids = append(ids, f.Value)
				}
			}
			if len(ids) != 1 || !bytes.Equal(ids[0], uid(n)) {
				t.Errorf("%s for an identifier of %d octets: %x", name, n, ids)
			}
		}
	}
}

func first(b []byte, _ Verdict) []byte { return b }

// TestPlainFields is what may stand in a request without NTS.
func TestPlainFields(t *testing.T) {
	id := field(nil, proto.FieldUniqueIdentifier, uid(32))
	unknown := field(nil, 0x4242, make([]byte, 28))
	placeholder := field(nil, proto.FieldCookiePlaceholder, make([]byte, 104))
	ck := field(nil, proto.FieldCookie, make([]byte, 104))
	mac := make([]byte, 20)
	for i, test := range []struct {
		name string
		tail [][]byte
		want Verdict
		len  int
	}{
		{"unknown fields are ignored", [][]byte{unknown, unknown}, Accepted, 48},
		{"unknown fields are not echoed", [][]byte{unknown, id}, Accepted, 84},
		{"MACs are not checked", [][]byte{id, mac}, Accepted, 84},
		{"two unique identifiers", [][]byte{id, id}, Malformed, 0},
		{"short unique identifier", [][]byte{field(nil, proto.FieldUniqueIdentifier, uid(28))}, Malformed, 0},
		{"cookie alone", [][]byte{id, ck}, Malformed, 0},
		{"placeholder alone", [][]byte{id, placeholder}, Malformed, 0},
		{"field beyond the end", [][]byte{{0x42, 0x42, 0, 32}, make([]byte, 24)}, Malformed, 0},
		{"field of no length", [][]byte{{0x42, 0x42, 0, 0}, make([]byte, 24)}, Malformed, 0},
		{"field of odd length", [][]byte{{0x42, 0x42, 0, 27}, make([]byte, 24)}, Malformed, 0},
		{"octets that are no MAC", [][]byte{make([]byte, 3)}, Malformed, 0},
	} {
		t.Run(fmt.Sprint(i, " ", test.name), func(t *testing.T) {
			out, v := respond(t, append(plain(4), bytes.Join(test.tail, nil)...), nil)
			if v != test.want || len(out) != test.len {
				t.Errorf("%v with %d octets, want %v with %d", v, len(out), test.want, test.len)
			}
		})
	}
}

package pool

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ntpd-go/ntpd-go/nts"
)

// What an input of FuzzPool chooses besides the messages.
const (
	// The dialect that the hostile source knows before it has seen keys, and
	// then: any, or one of the others, which are refused as an old program
	// does.
	dialectBefore uint16 = 1 << iota
	_
	dialectAfter
	_
	hangsUp    // it closes each connection after its answer
	inPieces   // it sends octet by octet
	saysNames  // its names are what the third message says
	absent     // it cannot be reached
	alsoSecond // the second source says the same as the first
	noThird    // there is no third source
	twice      // the client comes again, with the same request
	hangsUpNow // it closes connections instead of giving cookies
	sheds      // it has given up before it answers at all
)

// FuzzPool is the pool behind its handshakes: a client that says what it likes,
// a source that answers as it likes, and others that are honest. The client gets
// one answer, in one TLS record, made of nothing but records for clients and for
// what it asked; its keys go to one source at most, and only with an algorithm
// that it offered and the source said to support; no source hears the token of
// another; and nothing stays behind.
func FuzzPool(f *testing.F) {
	x := newStage(f)
	for _, c := range fuzzCases {
		f.Add(fromHex(c.request), fromHex(c.information), fromHex(c.cookies), fromHex(c.more), c.how)
	}
	f.Fuzz(func(t *testing.T, request, information, cookies, more []byte, how uint16) {
		synctest.Test(t, func(t *testing.T) {
			x.play(t, whole(request), script{information, cookies, more, how})
		})
	})
}

// Messages of fuzzCases.
const (
	supports = "8009 0002 0000 800a 0008 000f 0020 0011 0040 0008 0000" + eom
	gives    = "8001 0002 0000 8004 0002 000f 0005 0008 c0c0c0c0c0c0c0c0 0005 0001 c1"
	refuses0 = "8002 0002 0000" + eom
)

// fuzzCases are what the fuzzer starts from, each with what comes of it.
var fuzzCases = []struct {
	name                                string
	request, information, cookies, more string
	how                                 uint16
	want                                Outcome
}{
	{"cookies", ordinary + eom, supports, gives + "0008 0000" + eom, "", 0, Served},
	{"over a kept connection", ordinary + eom, supports, gives + "0008 0000" + eom, "", twice, Served},
	{"over one that was closed", ordinary + eom, supports, gives + eom, "", twice | hangsUp, Served},
	{"in pieces", ordinary + eom, supports, gives + "8006 0007 6e74702e6e6574 8007 0002 1f90" + eom, "", inPieces | noThird, Served},
	{"no algorithm of its own", ordinary + eom, "8009 0002 0000 800a 0004 0011 0040" + eom, gives + eom, "", 0, Served},
	{"no algorithm at all", "8001 0002 0000 8004 0002 7fff" + eom, supports, gives + eom, "", 0, NoOverlap},
	{"an algorithm that only they know", "8001 0002 0000 8004 0004 7fff 000f" + eom, "8009 0002 0000 800a 0004 7fff 0018" + eom, "8001 0002 0000 8004 0002 7fff 0005 0001 c1" + eom, "", 0, Served},
	{"GCM-SIV", "8001 0002 0000 8004 0004 001e 000f 0400 0000" + eom, "8009 0002 0000 800a 0008 001e 0010 000f 0020" + eom, "8001 0002 0000 8004 0002 001e 0005 0001 c1 0400 0000" + eom, "", 0, Served},
	{"GCM-SIV that may mean another", "8001 0002 0000 8004 0004 001e 000f" + eom, "8009 0002 0000 800a 0008 001e 0010 000f 0020" + eom, gives + eom, "", 0, Served},
	{"none that all have to know", ordinary + eom, "8009 0002 0000 800a 0004 0011 0040" + eom, gives + eom, "", alsoSecond | noThird, NoSource},
	{"another algorithm", ordinary + eom, supports, "8001 0002 0000 8004 0002 0011 0005 0001 c1" + eom, "", 0, SourceFailed},
	{"no algorithm any more", ordinary + eom, supports, "8001 0002 0000 8004 0000" + eom, "", 0, SourceFailed},
	{"pool records in the answer", ordinary + eom, supports, gives + "000e 0003 616263 0008 0000 4000 0000 7ffe 0002 abcd" + eom, "", 0, Served},
	{"a critical one", ordinary + eom, supports, gives + "fffe 0000" + eom, "", 0, SourceFailed},
	{"another dialect now", ordinary + eom, supports, gives + "4000 0000" + eom, "c004 0002 0000 c001 0008 000f 0020 0011 0040 4000 0000" + eom, 2 * dialectAfter, Served},
	{"the draft", ordinary + eom, "c004 0002 0000 c001 0004 000f 0020" + eom, gives + eom, "", 2 * dialectBefore, Served},
	{"the first generation", ordinary + eom, "8001 0002 0000 8004 0000 c001 0004 000f 0020" + eom, gives + eom, "", 3 * dialectBefore, Served},
	{"refused", ordinary + eom, supports, refuses0, refuses0, 0, SourceFailed},
	{"no cookies", ordinary + eom, supports, "", "", hangsUpNow, SourceFailed},
	{"nobody", ordinary + eom, refuses0, "", "", alsoSecond | noThird, NoSource},
	{"gone", ordinary + eom, "", "", "", absent, Served},
	{"garbage", ordinary + eom, "ffff ffff", "", "", sheds, Served},
	{"denied", ordinary + "000d 000e 73302e6578616d706c652e6e6574 4003 000e 73312e6578616d706c652e6e6574" + eom, supports, gives + eom, "", 0, Served},
	{"denied by another name", ordinary + "000d 0007 6e74702e6e6574" + eom, supports, gives + eom, "8006 0007 6e74702e6e6574" + eom, saysNames, Served},
	{"all denied", ordinary + "000d 000e 73302e6578616d706c652e6e6574 000d 000e 73312e6578616d706c652e6e6574" + eom, supports, gives + eom, "", noThird, NoSource},
	{"wished", ordinary + "0006 000e 73312e6578616d706c652e6e6574 0007 0002 007b" + eom, supports, gives + eom, "", 0, Served},
	{"as a pool", "000e 0003 616263 8009 0000 800a 0000" + eom, supports, gives + eom, "", 0, Unrecognized},
	{"with keys", "000c 0040" + strings.Repeat("c2", 64) + ordinary + eom, supports, gives + eom, "", 0, Served},
	{"empty", eom, supports, gives + eom, "", 0, BadRequest},
	{"not NTPv4", "8001 0002 8000" + eom, supports, gives + eom, "", 0, NoOverlap},
}

// What the fuzzer starts from does what it is there for.
func TestFuzzCases(t *testing.T) {
	x := newStage(t)
	for _, c := range fuzzCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := x.play(t, whole(fromHex(c.request)), script{fromHex(c.information), fromHex(c.cookies), fromHex(c.more), c.how})
				if got != c.want {
					t.Errorf("%v instead of %v\n%s", got, c.want, x.log.String())
				}
			})
		})
	}
}

// whole makes one message of octets: their whole records before an End of
// Message, and one. How a message ends otherwise is a matter of package ke.
func whole(octets []byte) []byte {
	var msg []byte
	for len(octets) >= nts.HeaderLen {
		r, n := nts.ParseHeader([nts.HeaderLen]byte(octets))
		if r.Type == nts.TypeEndOfMessage || nts.HeaderLen+n > len(octets) || len(msg)+n > nts.MaxRequest-2*nts.HeaderLen {
			break
		}
		msg, octets = append(msg, octets[:nts.HeaderLen+n]...), octets[nts.HeaderLen+n:]
	}
	return append(msg, fromHex(eom)...)
}

package server

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// RFC 8915 section 8.4: no response is longer than its request, and none has more than eight cookies, whatever
// placeholders a valid request carries, of whatever lengths, encrypted or not.
func TestNoRequestBuysMoreThanItPaysFor(t *testing.T) {
	associations := map[aead.Algorithm]*association{}
	for _, a := range []aead.Algorithm{aead.AESSIVCMAC256, aead.AESSIVCMAC512} {
		associations[a] = associate(t, a)
	}
	rapid.Check(t, func(rt *rapid.T) {
		x := associations[rapid.SampledFrom([]aead.Algorithm{aead.AESSIVCMAC256, aead.AESSIVCMAC512}).Draw(rt, "algorithm")]
		n := len(x.cookie)
		placeholders := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) int {
			if rapid.Bool().Draw(rt, "valid") {
				return n
			}
			return 4 * rapid.IntRange(3, 2*n/4).Draw(rt, "words")
		}), 0, 20)
		fields := func(lengths []int) []byte {
			var all [][]byte
			for _, l := range lengths {
				all = append(all, field(nil, proto.FieldCookiePlaceholder, make([]byte, l)))
			}
			return bytes.Join(all, nil)
		}
		b := field(plain(4), proto.FieldUniqueIdentifier, uid(32+4*rapid.IntRange(0, 8).Draw(rt, "words of identifier")))
		b = field(b, proto.FieldCookie, x.cookie)
		b = append(b, fields(placeholders.Draw(rt, "clear"))...)
		in := x.seal(t, b, fields(placeholders.Draw(rt, "hidden")))
		out, v := respond(t, in, x.keys)
		if v != AcceptedNTS {
			rt.Fatalf("verdict %v", v)
		}
		if o, ok := x.open(t, out); !ok || len(o.cookies) > 8 {
			rt.Fatalf("%d cookies, authentic %v", len(o.cookies), ok)
		}
		if len(out) > len(in) {
			rt.Fatalf("%d octets for %d", len(out), len(in))
		}
	})
}

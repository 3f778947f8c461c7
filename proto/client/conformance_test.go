package client

import (
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// RFC 7822 section 3: "If a host receives an extension field with an unknown
// Field Type, the host SHOULD ignore the extension field".
func TestRFC7822UnknownFieldsAreIgnored(t *testing.T) {
	unknown := make([]byte, 28)
	for _, nts := range []bool{false, true} {
		b := newBench(t, nts)
		b.poll()
		reply := field(t, b.header(nil), 0x4242, unknown)
		if nts {
			inner, err := proto.AppendField(nil, 0x4242, unknown, 0)
			if err != nil {
				t.Fatal(err)
			}
			reply = field(t, reply, proto.FieldUniqueIdentifier, b.uniqueID())
			reply = field(t, b.seal(reply, inner), 0x4242, unknown)
		}
		if o := b.receive(reply); o.Verdict != Accepted || !o.Measured {
			t.Errorf("nts %v: %+v", nts, o)
		}
	}
}

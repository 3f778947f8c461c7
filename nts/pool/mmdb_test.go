package pool

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// database writes a database of countries in MaxMind's format, version 2.0:
// a tree of 24-bit records over IPv6 addresses, where IPv4 is below ::/96, then
// the entries, then the metadata.
func database(entries map[string][2]string) []byte {
	type node struct {
		child [2]int // > 0: a node; < 0: an entry, counted from 1; 0: nothing
	}
	nodes := []node{{}}
	var data bytes.Buffer
	offsets := []int{0} // of the entries, from 1
	for prefix, place := range entries {
		offsets = append(offsets, data.Len())
		mmdbMap(&data, 2)
		mmdbString(&data, "country")
		mmdbMap(&data, 1)
		mmdbString(&data, "iso_code")
		mmdbString(&data, place[0])
		mmdbString(&data, "continent")
		mmdbMap(&data, 1)
		mmdbString(&data, "code")
		mmdbString(&data, place[1])
		p := netip.MustParsePrefix(prefix)
		bits, addr := p.Bits(), p.Addr().As16()
		if p.Addr().Is4() {
			bits += 96
			addr = [16]byte{}
			copy(addr[12:], p.Addr().AsSlice())
		}
		at := 0
		for i := range bits {
			side := addr[i/8] >> (7 - i%8) & 1
			if i == bits-1 {
				nodes[at].child[side] = -(len(offsets) - 1)
				break
			}
			if nodes[at].child[side] == 0 {
				nodes = append(nodes, node{})
				nodes[at].child[side] = len(nodes) - 1
			}
			at = nodes[at].child[side]
		}
	}
	var out bytes.Buffer
	for _, n := range nodes {
		for _, c := range n.child {
			v := uint32(len(nodes)) // nothing
			switch {
			case c > 0:
				v = uint32(c)
			case c < 0:
				v = uint32(len(nodes) + 16 + offsets[-c])
			}
			out.Write([]byte{byte(v >> 16), byte(v >> 8), byte(v)})
		}
	}
	out.Write(make([]byte, 16))
	out.Write(data.Bytes())
	out.WriteString("\xab\xcd\xefMaxMind.com")
	mmdbMap(&out, 7)
	for name, v := range map[string]uint32{
		"node_count": uint32(len(nodes)), "record_size": 24, "ip_version": 6,
		"binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_700_000_000,
	} {
		mmdbString(&out, name)
		out.WriteByte(6<<5 | 4)
		_ = binary.Write(&out, binary.BigEndian, v)
	}
	mmdbString(&out, "database_type")
	mmdbString(&out, "Test-Country")
	return out.Bytes()
}

func mmdbMap(b *bytes.Buffer, n int) { b.WriteByte(7<<5 | byte(n)) }

func mmdbString(b *bytes.Buffer, s string) {
	b.WriteByte(2<<5 | byte(len(s)))
	b.WriteString(s)
}

func TestGeo(t *testing.T) {
	g, err := OpenGeo(database(map[string][2]string{
		"192.0.2.0/24": {"NL", "EU"}, "2001:db8::/32": {"JP", "AS"}, "198.51.100.0/24": {"", "OC"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if g.Type() != "Test-Country" || g.Built() != 1_700_000_000 {
		t.Errorf("%s, built %d", g.Type(), g.Built())
	}
	for addr, want := range map[string]Place{
		"192.0.2.7": {"NL", "EU"}, "::ffff:192.0.2.7": {"NL", "EU"}, "2001:db8::1": {"JP", "AS"},
		"198.51.100.1": {"", "OC"}, "203.0.113.1": {},
	} {
		if got := g.Locate(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %v, want %v", addr, got, want)
		}
	}
	for _, bad := range [][]byte{nil, []byte("PK\x03\x04"), []byte("\xab\xcd\xefMaxMind.com")} {
		if _, err := OpenGeo(bad); err == nil {
			t.Errorf("%q is a database", bad)
		}
	}
}

func TestPlaces(t *testing.T) {
	seen := make(map[string]string)
	for _, c := range continents {
		for i := 0; i < len(c.countries); i += 3 {
			code := c.countries[i : i+2]
			if other := seen[code]; other != "" || c.countries[i+2] != ' ' {
				t.Errorf("%q is in %s and %s", code, c.code, other)
			}
			seen[code] = c.code
		}
	}
	if len(seen) != 250 { // ISO 3166-1 has 249; XK is in use besides
		t.Errorf("%d countries", len(seen))
	}
	for code, want := range map[string]Place{"nl": {"NL", "EU"}, "": {}, "XX": {"XX", ""}, "L ": {"L ", ""}, "BR": {"BR", "SA"}} {
		if got := PlaceOf(code); got != want {
			t.Errorf("%q is in %v", code, got)
		}
	}
	nl, de, us := PlaceOf("NL"), PlaceOf("DE"), PlaceOf("US")
	for _, c := range []struct {
		client, source Place
		want           tier
	}{{nl, nl, sameCountry}, {nl, de, sameContinent}, {nl, us, elsewhere}, {Place{}, Place{}, elsewhere}, {Place{}, nl, elsewhere}, {Place{"", "EU"}, nl, sameContinent}} {
		if got := tierOf(c.client, c.source); got != c.want {
			t.Errorf("from %v to %v: %v", c.client, c.source, got)
		}
	}
}

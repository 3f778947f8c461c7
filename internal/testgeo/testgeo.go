// Package testgeo makes databases of places for tests, in which no real address
// is anywhere.
package testgeo

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// Database makes a database of countries in MaxMind's format, version 2.0, out of
// networks and the country and continent of each: a tree of 24-bit records over
// IPv6 addresses, where IPv4 is below ::/96, then the entries, then the metadata.
func Database(entries map[string][2]string) []byte {
	type node struct {
		child [2]int // > 0: a node; < 0: an entry, counted from 1; 0: nothing
	}
	nodes := []node{{}}
	var data bytes.Buffer
	offsets := []int{0} // of the entries, from 1
	for prefix, place := range entries {
		offsets = append(offsets, data.Len())
		mapOf(&data, 2)
		text(&data, "country")
		mapOf(&data, 1)
		text(&data, "iso_code")
		text(&data, place[0])
		text(&data, "continent")
		mapOf(&data, 1)
		text(&data, "code")
		text(&data, place[1])
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
	mapOf(&out, 7)
	for name, v := range map[string]uint32{
		"node_count": uint32(len(nodes)), "record_size": 24, "ip_version": 6,
		"binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_700_000_000,
	} {
		text(&out, name)
		out.WriteByte(6<<5 | 4)
		_ = binary.Write(&out, binary.BigEndian, v)
	}
	text(&out, "database_type")
	text(&out, "Test-Country")
	return out.Bytes()
}

func mapOf(b *bytes.Buffer, n int) { b.WriteByte(7<<5 | byte(n)) }

func text(b *bytes.Buffer, s string) {
	b.WriteByte(2<<5 | byte(len(s)))
	b.WriteString(s)
}

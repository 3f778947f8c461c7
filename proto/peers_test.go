package proto

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What ntpd-rs, chrony and NTPsec really send parses into what it is.
func TestPeersPackets(t *testing.T) {
	text, err := os.ReadFile("testdata/peers.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for stanza := range strings.SplitSeq(string(text), "\n\n") {
		_, stanza, ok := strings.Cut(stanza, "name ")
		if !ok {
			continue
		}
		n++
		head, octets, _ := strings.Cut(stanza, "octets ")
		name, head, _ := strings.Cut(head, "\n")
		_, want, _ := strings.Cut(strings.TrimSpace(head), "want ")
		b := unhex(t, octets)
		if got := shape(b); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		p, err := ParsePacket(b)
		if err != nil {
			continue
		}
		again := append(append(p.Header.Append(nil), p.Fields...), p.MAC...)
		if !bytes.Equal(again, b) {
			t.Errorf("%s: the parts do not make the packet", name)
		}
	}
	if n != 15 {
		t.Errorf("%d packets", n)
	}
}

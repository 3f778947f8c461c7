package pool

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

func candidates(n int) []candidate {
	var c []candidate
	for i := range n {
		c = append(c, candidate{source: Source{fmt.Sprintf("ke%d.example.net", i), 4460}})
	}
	return c
}

func deny(names ...string) nts.KeyExchange {
	return nts.KeyExchange{Deny: nts.DenyInEveryDialect(names)}
}

func TestOrder(t *testing.T) {
	named, failing := candidates(3), candidates(3)
	named[1].names = []string{"ntp.example.net", "2001:db8::1"}
	failing[1].failing = true
	for _, c := range []struct {
		name string
		list []candidate
		turn uint64
		q    nts.KeyExchange
		want []int
	}{
		{"first turn", candidates(3), 0, nts.KeyExchange{}, []int{0, 1, 2}},
		{"second turn", candidates(3), 1, nts.KeyExchange{}, []int{1, 2, 0}},
		{"turns wrap", candidates(3), 1 << 63, nts.KeyExchange{}, []int{2, 0, 1}},
		{"denied by the name of its key exchange", candidates(3), 1, deny("ke1.example.net"), []int{2, 0}},
		{"denied in capitals and with a dot", candidates(3), 0, deny("KE1.Example.net."), []int{0, 2}},
		{"denied by the name of its NTP server", named, 0, deny("ntp.example.net"), []int{0, 2}},
		{"denied by the address of its NTP server", named, 0, deny("2001:DB8:0::1"), []int{0, 2}},
		{"denied by both", named, 0, deny("ntp.example.net", "ke1.example.net"), []int{0, 2}},
		{"an unknown name denies nothing", named, 0, deny("example.net"), []int{0, 1, 2}},
		{"all denied", candidates(2), 0, deny("ke0.example.net", "ke1.example.net"), nil},
		{"failed lately", failing, 1, nts.KeyExchange{}, []int{2, 0, 1}},
		{"wished for", candidates(3), 0, nts.KeyExchange{Server: "ke2.example.net"}, []int{2, 0, 1}},
		{"wished for by its NTP name", named, 0, nts.KeyExchange{Server: "ntp.example.net"}, []int{1, 0, 2}},
		{"wished for and failed lately", failing, 0, nts.KeyExchange{Server: "ke1.example.net"}, []int{0, 2, 1}},
		{"wished for and denied", candidates(2), 0, nts.KeyExchange{Server: "ke0.example.net", Deny: deny("ke0.example.net").Deny}, []int{1}},
	} {
		if got := order(c.list, c.turn, c.q); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Over a round of turns every source comes first equally often, and each turn
// lists every source that is not denied once.
func TestOrderSpreadsClients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "sources")
		first := make([]int, n)
		start := rapid.Uint64Range(0, 1<<40).Draw(t, "turn")
		for i := range n {
			list := order(candidates(n), start+uint64(i), nts.KeyExchange{})
			seen := make([]bool, n)
			for _, c := range list {
				if seen[c] {
					t.Fatalf("%d twice in %v", c, list)
				}
				seen[c] = true
			}
			if len(list) != n {
				t.Fatalf("%v of %d", list, n)
			}
			first[list[0]]++
		}
		for c, times := range first {
			if times != 1 {
				t.Fatalf("source %d came first %d times in %v", c, times, first)
			}
		}
	})
}

func TestChoose(t *testing.T) {
	both := []nts.SupportedAlgorithm{{ID: 15, KeyLen: 32}, {ID: 17, KeyLen: 64}, {ID: 30, KeyLen: 16}, {ID: 16, KeyLen: 48}}
	for _, c := range []struct {
		name    string
		offered []aead.Algorithm
		list    []nts.SupportedAlgorithm
		want    aead.Algorithm // 0: none
	}{
		{"the client's order", []aead.Algorithm{17, 15}, both, 17},
		{"the client's order, the other way", []aead.Algorithm{15, 17}, both, 15},
		{"the source has only the second", []aead.Algorithm{17, 15}, both[:1], 15},
		{"30 is never chosen", []aead.Algorithm{30, 15}, both, 15},
		{"30 alone", []aead.Algorithm{30}, both, 0},
		{"one that only the two know", []aead.Algorithm{16}, both, 16},
		{"nothing in common", []aead.Algorithm{99}, both, 0},
		{"the source has none", []aead.Algorithm{15}, nil, 0},
		{"a wrong key length", []aead.Algorithm{15}, []nts.SupportedAlgorithm{{ID: 15, KeyLen: 16}}, 0},
		{"an absurd key length", []aead.Algorithm{16}, []nts.SupportedAlgorithm{{ID: 16, KeyLen: 65535}}, 0},
		{"no key length", []aead.Algorithm{16}, []nts.SupportedAlgorithm{{ID: 16}}, 0},
	} {
		got, ok := choose(c.offered, c.list)
		if got.ID != c.want || ok != (c.want != 0) {
			t.Errorf("%s: chose %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLearntNamesAreBounded(t *testing.T) {
	m := &member{source: Source{"ke.example.net", 4460}}
	for range 1000 {
		m.learn(fmt.Sprintf("ntp%d.example.net", rand.IntN(100)))
	}
	m.learn("last.example.net")
	m.learn("last.example.net")
	if n := len(m.names); n != mostNames || m.names[n-1] != "last.example.net" || m.names[n-2] == "last.example.net" {
		t.Errorf("%d names: %v", n, m.names)
	}
}

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

func entropy(t *scene.Trial) {
	h := t.Host("host")
	const sources, wanted = 100, 5000
	u := t.Upstream(h, "0.0.0.0:123")
	u.Say(func(s *server.TimeSnapshot) { s.Stratum, s.Leap = 16, proto.LeapUnsynchronised })
	var text strings.Builder
	text.WriteString(scene.Client)
	for i := range sources {
		fmt.Fprintf(&text, "[[source]]\nmode = \"server\"\naddress = \"127.0.7.%d\"\n", i+1)
	}
	wire := t.Sniff(h, "lo")
	d := t.Daemon(h, "client", text.String())
	t.Eventually(20*time.Second, func() error { return atLeast(len(u.Requests()), sources) })
	t.Control("%d associations poll", sources)
	t.Eventually(100*time.Second, func() error { return atLeast(len(u.Requests()), wanted) })
	t.Alive(d.Process)
	var ones [64]int
	seen, ports, sequel := map[uint64]bool{}, map[uint16]bool{}, 0
	var last uint16
	var before uint64
	apart := map[uint64]int{}
	requests := u.Requests()
	for _, r := range requests {
		hd, err := proto.ParseHeader(r)
		t.Check(err)
		x := uint64(hd.Transmit)
		if seen[x] {
			t.Fatal("the same transmit field twice")
		}
		seen[x] = true
		if apart[x-before]++; apart[x-before] > 1 {
			t.Fatal("two requests are as far apart as two others: the next one can be told")
		}
		before = x
		for i := range ones {
			ones[i] += int(x >> i & 1)
		}
		hd.Transmit = 0
		if want := (proto.Header{Version: 4, Mode: proto.ModeClient}); hd != want || len(r) != proto.HeaderLen {
			t.Fatal("a request tells more than it must: %+v, %d octets", hd, len(r))
		}
	}
	for i, n := range ones { // five standard deviations
		if dev := n - len(requests)/2; dev*dev > 25*len(requests)/4 {
			t.Fatal("bit %d is set in %d of %d", i, n, len(requests))
		}
	}
	for _, s := range u.Sources() {
		ports[s.Port()] = true
		if s.Port() == last {
			sequel++
		}
		last = s.Port()
		if s.Port() == 123 {
			t.Fatal("a request from port 123")
		}
	}
	if len(ports) < len(requests)/4 || sequel > 5 {
		t.Fatal("%d source ports for %d requests, %d times the same again", len(ports), len(requests), sequel)
	}
	if len(wire.Seen()) < len(requests) {
		t.Fatal("the wire has fewer requests than the server")
	}
	t.Saw("%d requests: no transmit field twice, every bit within five standard deviations, %d source ports, all else constant", len(requests), len(ports))
}

func noPlainFallback(t *scene.Trial) {
	h, u, d := follow(t, true)
	wire := t.Sniff(h, "lo")
	probe := t.Dial(h, "127.0.0.9:123")
	own := scene.At(probe.LocalAddr().String())
	asPlain := func(p scene.Datagram) bool { return p.To.Port() == 123 && len(p.Payload) == proto.HeaderLen }
	plain := func() error {
		for _, p := range wire.Seen() {
			if p.From != own && asPlain(p) {
				return lab.Final{Err: fmt.Errorf("a plain request to %s", p.To)}
			}
		}
		return nil
	}
	_, err := probe.Write(scene.Plain())
	t.Check(err)
	t.Eventually(3*time.Second, func() error {
		if !slices.ContainsFunc(wire.Seen(), func(p scene.Datagram) bool { return p.From == own && asPlain(p) }) {
			return fmt.Errorf("the sniffer does not see a plain request")
		}
		return nil
	})
	t.Control("a plain request is seen on the wire")
	// NAKs beside true replies cause no key exchange at all.
	exchanges := u.Exchanges()
	before, _, err := d.Source(0)
	t.Check(err)
	nak := func(a *scene.Asked) []byte { return append(a.Kiss("NTSN", 4), a.UniqueID()...) }
	u.Script(func(a *scene.Asked) [][]byte { return [][]byte{nak(a), a.Reply} })
	t.Samples(d, 0, before.Taken(), 5, 30*time.Second)
	if n := u.Exchanges() - exchanges; n != 0 {
		t.Fatal("%d key exchanges although every poll was answered", n)
	}
	// Stripped replies, then NAKs alone.
	u.Script(func(a *scene.Asked) [][]byte { return [][]byte{a.Reply[:48], append(a.Reply[:48:48], a.UniqueID()...)} })
	t.Hold(6*time.Second, plain)
	u.Script(func(a *scene.Asked) [][]byte { return [][]byte{nak(a)} })
	t.Hold(12*time.Second, plain)
	if n := u.Exchanges() - exchanges; n > 4 {
		t.Fatal("%d key exchanges in 18 seconds: forged NAKs drive the client", n)
	}
	t.Check(plain())
	// Servers whose key exchange never answers, or refuses.
	u2, u3 := t.Upstream(h, "127.0.0.2:123"), t.Upstream(h, "127.0.0.3:123")
	t.Listen(h, "127.0.0.2:4460")
	d2 := t.Daemon(h, "blocked", scene.Client+scene.NTS("second.test")+scene.NTS("third.test"))
	t.Hold(8*time.Second, plain)
	t.Alive(d2.Process)
	if n := len(u2.Requests()) + len(u3.Requests()); n != 0 {
		t.Fatal("%d requests to servers without key exchange", n)
	}
	for _, row := range t.MustState(d2).Own.Sources {
		if row.Text == "" && row.Condition != "key-exchange" {
			t.Fatal("the key exchange of source %d was not tried: %s", row.Source, row.Condition)
		}
	}
	// It recovers when the attack ends.
	u.Script(nil)
	now, _, err := d.Source(0)
	t.Check(err)
	t.Eventually(45*time.Second, func() error {
		s, _, err := d.Source(0)
		if err != nil {
			return err
		}
		more := s.Taken()
		if s.ID == now.ID {
			more -= now.Taken()
		}
		if more < 2 {
			return fmt.Errorf("%d measurements since: %s", more, s.Text)
		}
		return nil
	})
	t.Saw("no plain request in %d datagrams, no key exchange for NAKs beside answers, %d for NAKs alone", len(wire.Seen()), u.Exchanges()-exchanges)
}

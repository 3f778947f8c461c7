package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks with kiss codes.
var kissRows = []scene.Row{
	{ID: "T15", P0: true, What: "kiss codes with right and wrong origin, authenticated and not, to plain and protected associations", Prove: kisses},
}

// kissCase is one server that answers with kisses, and what becomes of the association with it.
type kissCase struct {
	name   string
	script scene.Script
	check  func(s scene.Source, asked int) error
}

// measured wants the association to go on as if nothing had been.
func measured(s scene.Source, _ int) error {
	if s.Taken() < 4 || s.Poll == nil || *s.Poll != 0 {
		return fmt.Errorf("%d measurements, %s (%s)", s.Taken(), s.Condition, s.Text)
	}
	return nil
}

// kisses runs one daemon with a source for each case.
func kisses(t *scene.Trial) {
	beside := func(kiss func(a *scene.Asked) []byte) scene.Script {
		return func(a *scene.Asked) [][]byte { return [][]byte{kiss(a), a.Reply} }
	}
	alone := func(code string, poll int8) scene.Script {
		return func(a *scene.Asked) [][]byte { return [][]byte{a.Kiss(code, poll)} }
	}
	strange := func(code string) func(a *scene.Asked) []byte {
		return func(a *scene.Asked) []byte {
			b := a.Kiss(code, 17)
			copy(b[24:32], scene.Random(8))
			return b
		}
	}
	few := func(most int) func(scene.Source, int) error {
		return func(_ scene.Source, asked int) error {
			if asked > most {
				return fmt.Errorf("asked %d times, want at most %d", asked, most)
			}
			return nil
		}
	}
	stepwise := func(s scene.Source, asked int) error {
		if asked < 2 || asked > 9 {
			return fmt.Errorf("asked %d times", asked)
		}
		return nil
	}
	still := func(s scene.Source, asked int) error {
		if asked < 3 {
			return fmt.Errorf("asked %d times: silenced by what is to be ignored", asked)
		}
		if s.Taken() > 0 {
			return fmt.Errorf("a kiss gave a measurement")
		}
		return nil
	}
	cases := []kissCase{
		{"honest", nil, measured},
		{"DENY of a stranger", beside(strange("DENY")), measured},
		{"DENY of a stranger and nothing else", func(a *scene.Asked) [][]byte { return [][]byte{strange("DENY")(a)} }, still},
		{"RSTR of a stranger and nothing else", func(a *scene.Asked) [][]byte { return [][]byte{strange("RSTR")(a)} }, still},
		{"RATE of a stranger and nothing else", func(a *scene.Asked) [][]byte { return [][]byte{strange("RATE")(a)} }, still},
		{"RSTR of a stranger", beside(strange("RSTR")), measured},
		{"RATE of a stranger", beside(strange("RATE")), measured},
		{"DENY and the true reply", beside(func(a *scene.Asked) []byte { return a.Kiss("DENY", 0) }), measured},
		{"RATE and the true reply", beside(func(a *scene.Asked) []byte { return a.Kiss("RATE", 17) }), measured},
		{"NTSN in plain NTP", beside(func(a *scene.Asked) []byte { return a.Kiss("NTSN", 17) }), measured},
		{"DENY alone", alone("DENY", 0), few(1)},
		{"RSTR alone", alone("RSTR", 0), few(1)},
		{"RATE with poll 17", alone("RATE", 17), stepwise},
		{"RATE with poll -128", alone("RATE", -128), stepwise},
		{"RATE with poll 0", alone("RATE", 0), stepwise},
		{"XFUN", alone("XFUN", 17), still},
		{"escape sequences", alone("\x1b[2J", 17), still},
		{"zeros", alone("\x00\x00\x00\x00", 17), still},
		{"a kiss a year off", func(a *scene.Asked) [][]byte {
			return [][]byte{a.Header(func(h *proto.Header) {
				h.Stratum, h.RefID = 0, proto.RefIDText("INIT")
				h.Receive, h.Transmit = h.Receive.Add(8766*hour), h.Transmit.Add(8766*hour)
			})}
		}, still},
	}
	h := t.Host("plain")
	var text strings.Builder
	text.WriteString(strings.Replace(scene.Client, "max = 0", "max = 4", 1))
	ups := make([]*scene.Upstream, len(cases))
	for i, c := range cases {
		addr := netip.AddrFrom4([4]byte{127, 0, 9, byte(i + 1)}).String()
		ups[i] = t.Upstream(h, addr+":123")
		ups[i].Script(c.script)
		fmt.Fprintf(&text, "[[source]]\nmode = \"server\"\naddress = %q\n", addr)
	}
	d := t.Daemon(h, "client", text.String())
	t.Samples(d, 0, 0, 4, 30*time.Second)
	t.Control("the honest server among them is measured")
	// Polls begin two seconds apart at most; eleven seconds are several polls for everybody who may poll.
	t.Pause(8 * time.Second)
	s := t.MustState(d)
	for _, row := range s.Own.Sources {
		c := cases[row.Source]
		if c.check(row, 99) == nil && c.script == nil {
			continue
		}
		if err := relaxed(c, row, len(ups[row.Source].Requests())); err != nil {
			t.Fatal("%s: %v", c.name, err)
		}
	}
	asked := map[string]int{}
	for i, c := range cases {
		asked[c.name] = len(ups[i].Requests())
	}
	quiet, stranger, rate := asked["XFUN"], asked["RATE of a stranger and nothing else"], asked["RATE with poll 17"]
	t.Saw("asked: %v", asked)
	if 4*stranger < 3*quiet || 4*rate > 3*quiet {
		t.Fatal("who says nothing of use was asked %d times, with RATE %d times, with a stranger's RATE %d times", quiet, rate, stranger)
	}
	near(t, d)
	if strings.Contains(d.Text(), "\x1b[2J") {
		t.Fatal("an escape sequence reached the log")
	}
	t.Saw("%d servers with kisses", len(cases))
	protectedKisses(t)
}

// relaxed judges a case without minding at which interval an undisturbed association polls by now.
func relaxed(c kissCase, s scene.Source, asked int) error {
	zero := int8(0)
	s.Poll = &zero
	return c.check(s, asked)
}

// protectedKisses are kisses to an association with NTS: only authenticated ones count.
func protectedKisses(t *scene.Trial) {
	_, u, d := followIn(t, true, "nts")
	attacked(t, d, u, 5, func(a *scene.Asked) [][]byte {
		var out [][]byte
		for _, code := range []string{"RATE", "DENY", "RSTR", "XFUN"} {
			out = append(out, a.Kiss(code, 17), append(a.Kiss(code, 17), a.UniqueID()...), scene.SealRandom(append(a.Kiss(code, 17), a.UniqueID()...)))
		}
		return append(out, a.Reply)
	})
	// Without a true reply, too.
	before, _, err := d.Source(0)
	t.Check(err)
	n := len(u.Requests())
	u.Script(func(a *scene.Asked) [][]byte { return [][]byte{append(a.Kiss("DENY", 0), a.UniqueID()...)} })
	t.Eventually(20*time.Second, func() error { return atLeast(len(u.Requests())-n, 3) })
	u.Script(nil)
	t.Samples(d, 0, before.Taken(), 2, 30*time.Second)
	// An authenticated one does count.
	n = len(u.Requests())
	u.Script(func(a *scene.Asked) [][]byte {
		return [][]byte{a.Seal(append(a.Kiss("DENY", 0), a.UniqueID()...), nil)}
	})
	t.Eventually(20*time.Second, func() error { return atLeast(len(u.Requests())-n, 1) })
	t.Eventually(10*time.Second, func() error {
		s, _, err := d.Source(0)
		if err == nil && s.ID == before.ID {
			err = fmt.Errorf("still associated after an authenticated DENY (%s)", s.Condition)
		}
		return err
	})
	t.Alive(d.Process)
	protectedRates(t)
	t.Saw("NTS: unauthenticated kisses change nothing, an authenticated DENY ends the association")
}

// protectedRates are RATE kisses to associations with NTS, and nothing else, so that there is no better answer to wait for.
// How often each server is asked shows who is believed.
func protectedRates(t *scene.Trial) {
	rate := func(a *scene.Asked) []byte { return append(a.Kiss("RATE", 17), a.UniqueID()...) }
	cases := []struct {
		name   string
		script scene.Script
	}{
		{"server", func(a *scene.Asked) [][]byte { return [][]byte{append(a.Kiss("XFUN", 17), a.UniqueID()...)} }},
		{"second", func(a *scene.Asked) [][]byte { return [][]byte{rate(a)} }},
		{"third", func(a *scene.Asked) [][]byte { return [][]byte{a.Seal(rate(a), nil)} }},
	}
	h := t.Host("rates")
	var text strings.Builder
	text.WriteString(strings.Replace(scene.Client, "max = 0", "max = 4", 1))
	ups := make([]*scene.Upstream, len(cases))
	for i, c := range cases {
		addr := scene.Names[c.name+".test"]
		ups[i] = t.Upstream(h, netip.AddrPortFrom(addr, 123).String())
		t.Keys(h, ups[i], netip.AddrPortFrom(addr, 4460).String(), c.name, netip.AddrPortFrom(addr, 123))
		text.WriteString(scene.NTS(c.name + ".test"))
	}
	d := t.Daemon(h, "client", text.String())
	for i := range cases {
		t.Samples(d, i, 0, 2, 30*time.Second)
	}
	t.Control("three servers with NTS are measured")
	var before, asked [3]int
	for i, c := range cases {
		ups[i].Script(c.script)
		before[i] = len(ups[i].Requests())
	}
	t.Pause(14 * time.Second)
	for i := range cases {
		asked[i] = len(ups[i].Requests()) - before[i]
	}
	if quiet, forged, proved := asked[0], asked[1], asked[2]; 4*forged < 3*quiet || 4*proved > 3*quiet {
		t.Fatal("who says nothing of use was asked %d times, with unauthenticated RATE %d times, with authenticated RATE %d times", quiet, forged, proved)
	}
	t.Saw("NTS: asked %d times without answer, %d times with unauthenticated RATE, %d times with authenticated RATE", asked[0], asked[1], asked[2])
}

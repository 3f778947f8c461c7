package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Replies that answer the request, and that no server would give.
var implausibleRows = []scene.Row{
	{ID: "T45", What: "replies held for five seconds, sent before they were received, or from the past", Prove: impossibleTimes},
	{ID: "T48", What: "true replies from another address and another port", Prove: otherSources},
	{ID: "T30", P0: true, What: "headers with extreme values; configurations with nan, inf and negative numbers", Prove: extremes},
}

func impossibleTimes(t *scene.Trial) {
	h, u, d := follow(t, false)
	slow := t.Upstream(h, "127.0.0.2:123")
	patient := t.Daemon(h, "patient", strings.NewReplacer("min = 0, max = 0", "min = 3, max = 3", "interval = 0", "interval = 3").Replace(scene.Client)+
		"[[source]]\nmode = \"server\"\naddress = \"127.0.0.2\"\n")
	before, _, err := d.Source(0)
	t.Check(err)
	scripts := map[string]func(h *proto.Header){
		"said to be held for five seconds": func(h *proto.Header) { h.Receive = h.Receive.Add(-5 * proto.Second) },
		"sent before received":             func(h *proto.Header) { h.Transmit = h.Receive.Add(-proto.Second / 100) },
		"without receive time":             func(h *proto.Header) { h.Receive = 0 },
		"without transmit time":            func(h *proto.Header) { h.Transmit = 0 },
		"faster than possible": func(h *proto.Header) {
			h.Receive = h.Receive.Add(-proto.Second)
			h.Transmit = h.Transmit.Add(proto.Second)
		},
	}
	for name, change := range scripts {
		n := len(u.Requests())
		u.Script(func(a *scene.Asked) [][]byte { return [][]byte{a.Header(change)} })
		t.Eventually(20*time.Second, func() error { return atLeast(len(u.Requests())-n, 3) })
		u.Script(func(*scene.Asked) [][]byte { return [][]byte{} })
		now, _, err := d.Source(0)
		t.Check(err)
		if now.ID == before.ID && now.Taken() > before.Taken()+1 { // one may have been under way
			t.Fatal("replies %s gave %d measurements", name, now.Taken()-before.Taken())
		}
		before = now
	}
	u.Script(nil)
	t.Samples(d, 0, before.Taken(), 2, 60*time.Second)
	near(t, d)
	heldReplies(t, patient, slow)
	near(t, patient)
	t.Saw("none of %d kinds gave a measurement, nor did a reply that was held for 4.3 s; true ones did afterwards", len(scripts))
}

// heldReplies keeps replies for a while, and says so truly. The client polls every eight seconds, once its first four polls
// are over, so that it is not the next poll that ends their exchange.
func heldReplies(t *scene.Trial, d *scene.Daemon, u *scene.Upstream) {
	t.Samples(d, 0, 0, 5, 60*time.Second)
	holds := [3]time.Duration{3 * time.Second, 4300 * time.Millisecond, 0}
	before, n := make(chan scene.Source, len(holds)), 0
	u.Script(func(a *scene.Asked) [][]byte {
		begin := time.Now()
		s, _, err := d.Source(0) // what became of the replies so far
		if err != nil || n == len(holds) {
			return nil
		}
		time.Sleep(holds[n])
		n++
		before <- s
		return [][]byte{a.Header(func(h *proto.Header) { h.Transmit = h.Transmit.Add(proto.FromStd(time.Since(begin))) })}
	})
	var at [len(holds)]scene.Source
	for i := range at {
		select {
		case at[i] = <-before:
		case <-t.Context.Done():
			t.Fatal("%d requests, want %d", i, len(at))
		}
	}
	u.Script(nil)
	if at[1].ID != at[0].ID || at[1].Taken() != at[0].Taken()+1 {
		t.Fatal("a reply held for %v gave %d measurements: the row shows nothing", holds[0], at[1].Taken()-at[0].Taken())
	}
	t.Control("a reply held for %v is waited for, and gives a measurement", holds[0])
	if at[2].ID != at[1].ID || at[2].Taken() != at[1].Taken() || at[2].Refused() != at[1].Refused() {
		t.Fatal("a reply held for %v gave %d measurements, and %d came too late", holds[1], at[2].Taken()-at[1].Taken(), at[2].Refused()-at[1].Refused())
	}
	t.Samples(d, 0, at[2].Taken(), 1, 30*time.Second)
}

func otherSources(t *scene.Trial) {
	h, u, d := follow(t, false)
	elsewhere := t.Upstream(h, "127.0.0.2:123")
	otherPort := t.Upstream(h, "127.0.0.1:1123")
	wire := t.Sniff(h, "lo")
	before, _, err := d.Source(0)
	t.Check(err)
	n := len(u.Requests())
	u.Script(func(a *scene.Asked) [][]byte {
		elsewhere.Send(a.Reply, a.From)
		otherPort.Send(a.Reply, a.From)
		return [][]byte{}
	})
	t.Eventually(20*time.Second, func() error { return atLeast(len(u.Requests())-n, 4) })
	for _, from := range []string{"127.0.0.2:123", "127.0.0.1:1123"} {
		replies := 0
		for _, p := range wire.Seen() {
			if p.From == scene.At(from) && slices.Contains(u.Sources(), p.To) && len(p.Payload) == proto.HeaderLen {
				replies++
			}
		}
		t.Check(atLeast(replies, 3))
		t.Control("%d replies from %s to where the client asked from", replies, from)
	}
	after, _, err := d.Source(0)
	t.Check(err)
	if after.Taken() > before.Taken()+1 {
		t.Fatal("%d measurements from elsewhere", after.Taken()-before.Taken())
	}
	u.Script(nil)
	t.Samples(d, 0, after.Taken(), 2, 60*time.Second)
	t.Saw("true replies from another address or port count for nothing; the server's own do again")
}

// extremes gives each of many sources another header, and counts who is followed.
func extremes(t *scene.Trial) {
	h := t.Host("host")
	t.Upstream(h, "127.0.0.1:123")
	changes := map[string]func(h *proto.Header){
		"stratum 0":               func(h *proto.Header) { h.Stratum = 0 },
		"stratum 16":              func(h *proto.Header) { h.Stratum = 16 },
		"stratum 17":              func(h *proto.Header) { h.Stratum = 17 },
		"stratum 255":             func(h *proto.Header) { h.Stratum = 255 },
		"leap 3":                  func(h *proto.Header) { h.Leap = 3 },
		"root delay":              func(h *proto.Header) { h.RootDelay = 0xffffffff },
		"root dispersion":         func(h *proto.Header) { h.RootDispersion = 0xffffffff },
		"both":                    func(h *proto.Header) { h.RootDelay, h.RootDispersion = 0xffffffff, 0xffffffff },
		"root distance of 2 s":    func(h *proto.Header) { h.RootDispersion = 0x20000 },
		"transmit in era 1":       func(h *proto.Header) { h.Transmit, h.Receive = 1, 1 },
		"transmit at the far end": func(h *proto.Header) { h.Transmit, h.Receive = h.Transmit+1<<63, h.Receive+1<<63 },
	}
	survivable := map[string]func(h *proto.Header){ // odd, but no reason not to be used
		"precision 127":  func(h *proto.Header) { h.Precision = 127 },
		"precision -128": func(h *proto.Header) { h.Precision = -128 },
		"poll 127":       func(h *proto.Header) { h.Poll = 127 },
		"poll -128":      func(h *proto.Header) { h.Poll = -128 },
		"reference":      func(h *proto.Header) { h.Reference = 1 << 63 },
	}
	text := strings.Builder{}
	text.WriteString(scene.Client + "[[source]]\nmode = \"server\"\naddress = \"127.0.0.1\"\n")
	names, ups := []string{""}, []*scene.Upstream{nil}
	for _, set := range []map[string]func(h *proto.Header){changes, survivable} {
		for name, change := range set {
			addr := netip.AddrFrom4([4]byte{127, 0, 8, byte(len(names))})
			u := t.Upstream(h, addr.String()+":123")
			u.Script(func(a *scene.Asked) [][]byte { return [][]byte{a.Header(change)} })
			fmt.Fprintf(&text, "[[source]]\nmode = \"server\"\naddress = %q\n", addr.String())
			names, ups = append(names, name), append(ups, u)
		}
	}
	d := t.Daemon(h, "client", text.String())
	t.Samples(d, 0, 0, 8, 60*time.Second)
	t.Control("the honest server among them is measured")
	s := t.MustState(d)
	for _, row := range s.Own.Sources {
		name := names[row.Source]
		if row.Source > 0 && len(ups[row.Source].Requests()) < 2 {
			t.Fatal("a server with %s was asked %d times", name, len(ups[row.Source].Requests()))
		}
		if _, odd := survivable[name]; odd && row.Taken() == 0 {
			t.Fatal("a server with %s gave nothing: %s %s", name, row.Condition, row.Text)
		}
		if _, bad := changes[name]; bad && (row.Condition == "selected" || row.Condition == "candidate" && row.Offset != nil && *row.Offset > 1) {
			t.Fatal("a server with %s is %s", name, row.Condition)
		}
	}
	offset := s.Own.Offset
	if !s.Own.Synchronised || offset == nil || *offset > 0.5 || *offset < -0.5 || s.Own.Steps > 1 {
		t.Fatal("not synchronised to the honest server: %+v", s.Own.Text)
	}
	t.Saw("%d extreme headers, none selected, and %d odd ones measured; the clock follows the honest server", len(changes), len(survivable))
	badNumbers(t, h)
}

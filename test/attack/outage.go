package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Servers, key exchanges and certificates that are not there, not yet there, or no more.
var outageRows = []scene.Row{
	scene.Row{ID: "T51", What: "a key exchange that goes down for hours, with NAKs forged meanwhile (three retries of it played, the hours in tests)", Prove: exchangeDown}.Also(
		"proto/engine TestEverythingIsDown TestForgedNAKs TestNAKsBesideAnswersCauseNoKeyExchange TestNTSHoldsEightCookies TestRFC8915Section5_7SessionsAreResumed TestResumedSessionsThatAreOfNoUse", "daemon TestSIGKILLReusesNoCookie"),
	scene.Row{ID: "T52", What: "key exchanges that fail in every way for days: how often are they tried? (three retries played, the days in tests)", Prove: exchangesFail}.Also(
		"proto/engine TestKeyExchangeBacksOff TestKeyRetryIntervals TestOneBackOffPerKeyExchangeServer TestRetryIntervalIsResetByUse TestKeysThatNeverProveGoodBackOffAsOne"),
	scene.Row{ID: "T53", What: "certificates that expire, are replaced, or become unreadable, of a server and of a pool", Prove: renewals}.Also(
		"nts/ke TestCertificateFailures TestCertificateOfTheMoment TestKeyPairMistakes TestServerCertificateWarnings"),
	scene.Row{ID: "T58", What: "pool members that are not there, never answer, or die", Prove: deadMembers}.Also(
		"proto/engine TestPoolReplacesTheDead TestPoolKeepsCountOfDistinctServers TestSmallPoolStillReplacesItsMembers"),
	scene.Row{ID: "T63", What: "machines without a clock, certificates that are not valid yet, and liars at that moment", Prove: coldStarts}.Also(
		"proto/engine TestBoundedColdStart TestStrictColdStart TestAColdStartNeedsAQuorum TestAColdStartIsVerifiedAtTheAgreedTime TestALiarInAColdStartIsOutvoted", "nts/ke TestProvisionalCertificates"),
}

// visits are the moments at which a server was asked.
type visits struct {
	mu sync.Mutex
	at []time.Time
}

func (v *visits) note() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = append(v.at, time.Now())
}

func (v *visits) all() []time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.at)
}

// retries are the least distances of retries: "t = min(10 * 1.5^(n-1), 432000)" (RFC 8915, section 4.2). A busy machine
// may notice a visit late, and the next one is early by that.
var retries = []time.Duration{10 * time.Second, 15 * time.Second, 22500 * time.Millisecond}

const noticed = time.Second

// spaced wants visits to be as far apart as retries have to be.
func spaced(at []time.Time) error {
	for i := range len(at) - 1 {
		if gap := at[i+1].Sub(at[i]); gap < retries[min(i, len(retries)-1)]-noticed {
			return fmt.Errorf("retry %d after %v, which is before %v", i+1, gap, retries[i])
		}
	}
	return nil
}

func exchangeDown(t *scene.Trial) {
	h := t.Host("host")
	wire := t.Sniff(h, "lo")
	u := t.Upstream(h, "127.0.0.1:123")
	stop := t.Keys(h, u, exchangeAddr, "server", scene.At("127.0.0.1:123"))
	d := t.Daemon(h, "client", scene.Client+"nts-state-path = \"\"\n"+scene.NTS("server.test")) // no cookie is set aside
	before := t.Samples(d, 0, 0, 3, 30*time.Second)
	t.Synchronised(d, 20*time.Second)
	t.Control("the client has keys and measures with them")
	stop()
	var asked visits
	var requests atomic.Int64 // before the first visit
	stop = t.Listens(h, exchangeAddr, func(c net.Conn) {
		requests.CompareAndSwap(0, int64(len(u.Requests())))
		asked.note()
		c.Close()
	})
	nak := func(a *scene.Asked) { refuse(d, u, append(a.Kiss("NTSN", 4), a.UniqueID()...), a.From) }
	u.Script(func(a *scene.Asked) [][]byte { nak(a); return nil })
	before = t.Samples(d, 0, before.Taken(), 3, 30*time.Second)
	if n := len(asked.all()); n > 0 || before.Cookies == nil || *before.Cookies < 7 {
		t.Fatal("%d key exchanges, cookies %v, although every reply brings a cookie", n, before.Cookies)
	}
	// Replies without cookies use up what there is.
	first := len(u.Requests())
	u.Script(func(a *scene.Asked) [][]byte {
		nak(a)
		return [][]byte{a.Seal(append(slices.Clone(a.Reply[:proto.HeaderLen]), a.UniqueID()...), nil)}
	})
	last := t.Samples(d, 0, before.Taken(), 7, 30*time.Second)
	if last.ID != before.ID {
		t.Fatal("the association did not last as long as its cookies")
	}
	t.Eventually(40*time.Second, func() error { return atLeast(len(asked.all()), 2) })
	used, seen := u.Requests()[first:], map[string]bool{}
	for _, r := range used {
		t.Check(fresh(r, seen))
	}
	if len(used) < 7 || len(used) > 9 {
		t.Fatal("%d requests were made with the eight cookies of a key exchange", len(used))
	}
	t.Check(spaced(asked.all()))
	if left := first + len(used) - int(requests.Load()); left > 0 {
		t.Fatal("keys were asked for when there were %d cookies left", left)
	}
	// The key exchange is back.
	stop()
	u.Script(nil)
	tried, exchanges := asked.all(), u.Exchanges()
	t.Keys(h, u, exchangeAddr, "server", scene.At("127.0.0.1:123"))
	t.Eventually(40*time.Second, func() error { return atLeast(u.Exchanges(), exchanges+1) })
	tried = append(tried, time.Now())
	t.Check(spaced(tried))
	t.Eventually(20*time.Second, func() error {
		s, state, err := d.Source(0)
		if err == nil && (s.ID == last.ID && s.Taken() < last.Taken()+2 || s.Taken() < 2 || s.Cookies == nil || *s.Cookies < 7 || !state.Own.Synchronised) {
			err = fmt.Errorf("not well again: %s %s", s.Condition, s.Text)
		}
		return err
	})
	protected := 0
	for _, p := range wire.Seen() {
		switch {
		case p.To.Port() != 123:
		case len(p.Payload) == proto.HeaderLen:
			t.Fatal("a plain request")
		default:
			protected++
		}
	}
	if protected < len(used) {
		t.Fatal("%d requests on the wire, %d at the server: the row shows nothing", protected, len(used))
	}
	near(t, d)
	t.Saw("without a key exchange nothing suffers while cookies come with replies; then %d requests with the last ones, no cookie twice, no plain request, retries after %.0f and %.0f s, and by itself all is well again",
		len(used), tried[1].Sub(tried[0]).Seconds(), tried[2].Sub(tried[1]).Seconds())
}

// refuse sends a client what it is to drop, and returns when it has.
func refuse(d *scene.Daemon, u *scene.Upstream, forgery []byte, to netip.AddrPort) {
	before, _, err := d.Source(0)
	u.Send(forgery, to)
	for range 30 {
		now, _, nowErr := d.Source(0)
		if err != nil || nowErr != nil || now.Refused() > before.Refused() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func exchangesFail(t *scene.Trial) {
	var servers []hostileServer
	var asked []*visits
	add := func(name string, handle func(c *tls.Conn)) {
		v := &visits{}
		asked = append(asked, v)
		servers = append(servers, hostileServer{name: name, handle: func(c *tls.Conn) { v.note(); handle(c) }})
	}
	hangUp := func(c *tls.Conn) { c.NetConn().Close() }
	keys := scene.Says(message(protocols, aeads, cookies(8, 100), end))
	add("hangs up", hangUp)
	add("says nothing", func(c *tls.Conn) {
		b := make([]byte, 4096)
		for _, err := c.Read(b); err == nil; _, err = c.Read(b) {
			continue
		}
	})
	add("garbage", scene.Says(scene.Random(500)))
	add("an error of its own", scene.Says(message(record(2, true, 0, 2), end)))
	add("keys for a server that is silent", keys)
	add("keys that the server refuses", keys)
	refuses := len(servers) - 1
	add("hangs up on four at once", hangUp)
	four := len(servers) - 1
	growing := len(servers)
	add("does not know a record", scene.Says(message(record(2, true, 0, 0), end)))
	add("finds the request bad", scene.Says(message(record(2, true, 0, 1), end))) // or too slow: it is asked again, once
	d, _ := siegeAlso(t, servers, func(i int) string {
		if i == four {
			return fmt.Sprintf("[[source]]\nmode = \"nts-pool\"\ncount = 4\naddress = \"h%d.test\"\ncertificate-authority = \"/run/lab/ca.pem\"\n", i)
		}
		return scene.NTS(fmt.Sprintf("h%d.test", i))
	})
	naks := t.Upstream(d.Host, fmt.Sprintf("127.0.10.%d:123", refuses+1)) // to which these cookies mean nothing
	t.Upstream(d.Host, fmt.Sprintf("127.0.10.%d:123", refuses)).Script(func(*scene.Asked) [][]byte { return [][]byte{} })
	most, least := 0, 100
	t.Eventually(90*time.Second, func() error {
		for i, v := range asked[:growing] {
			at := v.all()
			if err := spaced(at); err != nil {
				t.Fatal("%s: %v", servers[i].name, err)
			}
			if len(at) < 3 {
				return fmt.Errorf("%s: asked %d times", servers[i].name, len(at))
			}
		}
		return nil
	})
	for i, v := range asked {
		n := len(v.all())
		if i >= growing && (n < 1 || n > 1+i-growing) {
			t.Fatal("%s: asked %d times, the same each time", servers[i].name, n)
		}
		if i < growing {
			most, least = max(most, n), min(least, n)
		}
	}
	if len(naks.Requests()) == 0 {
		t.Fatal("nobody used the keys that are to be refused: the row shows nothing")
	}
	t.Alive(d.Process)
	t.Saw("%d servers that fail were asked %d to %d times, 10 s, 15 s and more apart, by four associations as by one; who refuses the request for ever, once or twice", growing, least, most)
}

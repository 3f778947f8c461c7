package engine

import (
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/client"
)

// maxNameTries is how often the name of an NTP server is looked up before its
// keys are given up and new ones are fetched.
const maxNameTries = 5

// keying is how a slot comes to its keys: a key exchange, and then a look-up
// of the NTP server that it named. A server that is live meanwhile is asked
// on with the keys it has: "As long as the NTS-KE handshake has not
// succeeded, the client SHOULD continue polling the NTP server using the
// cookies and parameters it has" (RFC 8915 section 5.7).
type keying struct {
	backoff keyBackoff
	request RequestID // key exchange in flight; 0 for none
	fresh   bool      // the last exchange gave the live server's keys, not yet proven
	failure Failure   // of the last try

	keys   *KeysEstablished // whose server's name is being looked up
	lookup RequestID
	retry  proto.Instant
	tries  int
}

// wantsKeys reports whether a slot is to exchange keys.
func (t *slot) wantsKeys() bool {
	l := t.live
	return l == nil || l.assoc.NeedsKeys() || l.assoc.Unreachable()
}

// ready is when the slot may exchange keys or look up a name; Never when it
// wants neither or waits for an answer.
func (t *slot) ready() proto.Instant {
	k := &t.keying
	switch {
	case t.demobilised || k.request != 0 || k.lookup != 0:
		return proto.Never
	case k.keys != nil:
		return k.retry
	case t.wantsKeys():
		return k.backoff.ready()
	}
	return proto.Never
}

// work does for a slot what is due: proving good keys, looking up a name.
// It reports whether a key exchange is due.
func (k *keying) work(e *Engine, s *source, t *slot) bool {
	if l := t.live; k.fresh && l != nil && l.assoc.Authentic() {
		k.fresh = false
		k.backoff.proven()
	}
	if e.now.Mono < t.ready() {
		return false
	}
	if k.keys == nil {
		return true
	}
	k.lookup = e.request()
	k.retry = e.now.Mono.Add(firstLookup << k.tries)
	k.tries++
	e.emit(Lookup{Request: k.lookup, Host: k.keys.Server, Route: s.cfg.Route, Absolute: true})
	return false
}

// exchange starts a key exchange.
func (k *keying) exchange(e *Engine, s *source, deny []string) {
	k.request, k.fresh = e.request(), false
	k.backoff.begin(e.now.Mono)
	e.emit(ExchangeKeys{
		Request: k.request, Host: s.cfg.Host, Port: s.cfg.Port,
		Authority: s.cfg.Authority, Deny: deny, Route: s.cfg.Route,
	})
}

// fail notes why a try came to nothing; the next one waits for the back-off.
func (k *keying) fail(e *Engine, s *source, f Failure) {
	e.reportFailure(s, "key-exchange-failed", k.failure, f)
	k.failure, k.keys, k.tries = f, nil, 0
}

// established takes in keys and finds the address they are for: an address
// as it is, "the same IP address as the NTS-KE server" when no other server
// was named (RFC 8915 section 4.1.7), or whatever the name resolves to.
func (k *keying) established(e *Engine, s *source, t *slot, ev KeysEstablished) {
	k.request = 0
	if len(ev.Cookies) == 0 || !ev.Algorithm.Supported() || ev.Server == "" || ev.Port == 0 {
		k.fail(e, s, Failure{Class: ClassProtocol, Text: "the key exchange gave no cookies, server or known algorithm; tell the server's operator"})
		return
	}
	k.keys, k.tries, k.retry = &ev, 0, e.now.Mono
	if a, err := netip.ParseAddr(ev.Server); err == nil {
		k.resolved(e, s, t, []netip.Addr{a})
		return
	}
	if ev.Server == s.cfg.Host && ev.Remote.IsValid() && s.cfg.Route.Proxy == "" {
		k.resolved(e, s, t, []netip.Addr{ev.Remote.Addr()})
	}
}

// lookedUp takes in the addresses of the NTP server.
func (k *keying) lookedUp(e *Engine, s *source, t *slot, ev LookedUp) {
	k.lookup = 0
	if !ev.Failure.Failed() {
		k.resolved(e, s, t, ev.Addrs)
		return
	}
	e.reportFailure(s, "dns-failed", k.failure, ev.Failure)
	k.failure = ev.Failure
	if k.tries >= maxNameTries {
		k.keys, k.tries = nil, 0
	}
}

// resolved makes the server live at the first address that will do.
func (k *keying) resolved(e *Engine, s *source, t *slot, addrs []netip.Addr) {
	ev := k.keys
	addr, ok := k.choose(e, s, t, bounded(addrs, s.maxAddrs()), ev.Port)
	if !ok {
		k.fail(e, s, Failure{Class: ClassProtocol, Text: "the key exchange named a server that is already in use, refused us, or has no usable address"})
		return
	}
	keys, err := newKeys(ev)
	if err != nil {
		k.fail(e, s, Failure{Class: ClassProtocol, Text: err.Error()})
		return
	}
	k.keys, k.tries, k.failure = nil, 0, Failure{}
	cookies := make([][]byte, len(ev.Cookies))
	for i, c := range ev.Cookies {
		cookies[i] = c
	}
	e.start(s, t, addr, ev.Server, keys, cookies)
	k.fresh = true
}

// choose prefers an address that no other source uses. A pool takes nothing
// else: two members on one machine are not two opinions.
func (k *keying) choose(e *Engine, s *source, t *slot, addrs []netip.Addr, port uint16) (netip.AddrPort, bool) {
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return e.isDenied(netip.AddrPortFrom(a, port)) })
	for _, a := range addrs {
		if !e.inUse(a, t) {
			return netip.AddrPortFrom(a, port), true
		}
	}
	if len(addrs) == 0 || s.cfg.Mode == ModeNTSPool {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addrs[0], port), true
}

func newKeys(ev *KeysEstablished) (*client.Keys, error) {
	c2s, err := aead.New(ev.Algorithm, ev.C2S)
	if err != nil {
		return nil, err
	}
	s2c, err := aead.New(ev.Algorithm, ev.S2C)
	if err != nil {
		return nil, err
	}
	return &client.Keys{C2S: c2s, S2C: s2c}, nil
}

func (k *keying) pending() pending {
	switch {
	case k.request != 0:
		return pending{condition: Exchanging, retry: proto.Never, failure: k.failure}
	case k.lookup != 0:
		return pending{condition: Resolving, retry: proto.Never, failure: k.failure}
	case k.keys != nil:
		return pending{condition: Waiting, retry: k.retry, failure: k.failure}
	default:
		return pending{condition: Waiting, retry: k.backoff.ready(), failure: k.failure}
	}
}

// keyed is what the spawners share that exchange keys.
type keyed struct{}

func (keyed) deadline(s *source) proto.Instant {
	d := proto.Never
	for _, t := range s.slots {
		d = min(d, t.ready())
	}
	return d
}

func (keyed) lookedUp(e *Engine, s *source, ev LookedUp) {
	for _, t := range s.slots {
		if t.keying.lookup != 0 && t.keying.lookup == ev.Request {
			t.keying.lookedUp(e, s, t, ev)
		}
	}
}

func (keyed) keyExchangeFailed(e *Engine, s *source, ev KeyExchangeFailed) {
	for _, t := range s.slots {
		if t.keying.request != 0 && t.keying.request == ev.Request {
			t.keying.request = 0
			t.keying.fail(e, s, ev.Failure)
		}
	}
}

func (keyed) hurry(proto.Instant) {}

func (keyed) pending(_ *source, t *slot) pending { return t.keying.pending() }

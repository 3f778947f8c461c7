package engine

import (
	"net/netip"
	"slices"
	"time"

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
	ke      *keyServer   // who is asked
	aimed   bool         // ke is chosen, where SRV records give a choice
	tried   []*keyServer // asked in this round, where they do
	walked  int          // exchanges since keys last proved good, where they do
	backoff keyBackoff
	request RequestID // key exchange in flight; 0 for none
	fresh   bool      // the last exchange gave the live server's keys, not yet proven
	failure Failure   // of the last try
	hurried bool      // what hindered it may be over
	shun    shunned

	notAfter time.Time // end of the certificates of the last exchange that worked

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

// ready is when a slot may exchange keys or look up a name; Never when it
// wants neither or waits for an answer.
func (s *source) ready(t *slot) proto.Instant {
	k := &t.keying
	switch {
	case k.request != 0 || k.lookup != 0:
		return proto.Never
	case k.keys != nil:
		return k.retry
	case !t.wantsKeys():
		return proto.Never
	case s.service != nil && !k.aimed:
		return s.service.ready()
	}
	return k.earliest()
}

// earliest is when the back-off allows an exchange.
func (k *keying) earliest() proto.Instant {
	if k.hurried { // the last try did not get as far as the server
		return max(k.backoff.last, k.ke.last).Add(minKeyRetry)
	}
	return max(k.backoff.ready(), k.ke.ready(k.backoff.well()), k.pace())
}

// work does for a slot what is due: proving good keys, trying another address,
// looking up a name. It reports whether a key exchange is due.
func (k *keying) work(e *Engine, s *source, t *slot) bool {
	k.watch(e, s, t)
	if s.service != nil && t.undecided() {
		s.service.aim(e, s, t)
	}
	if e.now.Mono < s.ready(t) {
		return false
	}
	if k.keys == nil {
		return e.turn(s, t)
	}
	k.lookup = e.request()
	k.retry = e.now.Mono.Add(firstLookup << k.tries)
	k.tries++
	e.emit(Lookup{Request: k.lookup, Host: k.keys.Server, Absolute: true, Route: s.cfg.Route})
	return false
}

// watch sees how the live server does with its keys.
func (k *keying) watch(e *Engine, s *source, t *slot) {
	t.listen()
	l := t.live
	if l == nil {
		if k.fresh { // the server was reached, and refused
			k.fresh = false
			k.ke.failed(true)
		}
		return
	}
	if l.keeping.resumed && l.assoc.Authentic() {
		e.yield(l.addr.Addr())
		l.keeping.resumed = false
	}
	if k.fresh && l.assoc.Authentic() {
		e.yield(l.addr.Addr())
		k.fresh = false
		k.backoff.proven()
		l.ke.proven(k.backoff.last)
		k.shun, k.tried, k.walked = shunned{}, nil, 0
	}
	if l.assoc.Unreachable() && e.move(s, t) {
		return
	}
	if k.fresh && l.ke.n == 0 && t.wantsKeys() {
		l.ke.failed(true) // the keys never proved good
	}
}

// turn reports whether it is a slot's turn to exchange keys. When a server is
// retried, all who want something of it take turns: one whose exchanges fail
// for a reason of its own does not keep the others from theirs.
func (e *Engine) turn(s *source, t *slot) bool {
	if t.keying.ke.n == 0 {
		return true
	}
	var next *slot
	e.slots(func(other *source, u *slot) {
		switch {
		case u.keying.ke != t.keying.ke || u.keying.keys != nil || e.now.Mono < other.ready(u):
		case other.cfg.Mode == ModeNTSPool && busy(other):
		case next == nil || u.keying.backoff.last < next.keying.backoff.last:
			next = u
		}
	})
	return next == t
}

// exchange starts a key exchange.
func (k *keying) exchange(e *Engine, s *source, deny []string) {
	spread, err := e.random()
	if err != nil {
		e.noRandomness(err)
		return
	}
	k.request, k.fresh, k.hurried = e.request(), false, false
	k.backoff.begin(e.now.Mono)
	k.ke.begin(e.now.Mono, spread)
	x := ExchangeKeys{
		Request: k.request, Host: s.cfg.Host, Port: s.cfg.Port,
		Authority: s.cfg.Authority, Deny: deny, Route: s.cfg.Route, Earliest: e.earliest(),
	}
	if s.service != nil && len(s.service.targets) > 0 {
		x.Host, x.Port, x.Absolute = k.ke.host, k.ke.port, true
		k.aimed, k.tried, k.walked = false, append(k.tried, k.ke), min(k.walked+1, maxRetries)
	}
	e.emit(x)
}

// failed notes why an exchange came to nothing; the next one waits for the
// back-off.
func (k *keying) failed(e *Engine, s *source, f Failure) {
	k.request = 0
	answered := f.Class == ClassRemote || f.Class == ClassNoOverlap
	if f.Class == ClassRejected || f.Class == ClassBadRequest && k.failure.Class == ClassBadRequest {
		k.backoff.rejected()
		if s.service != nil {
			k.ke.rejected()
		}
	}
	k.ke.failed(answered)
	if answered {
		k.shun.useless()
	}
	k.fail(e, s, f)
}

// useless notes that the exchange went well and what it gave is of no use.
func (k *keying) useless(e *Engine, s *source, f Failure) {
	k.request = 0
	k.ke.failed(true)
	k.fail(e, s, f)
}

func (k *keying) fail(e *Engine, s *source, f Failure) {
	e.reportFailure(s, "key-exchange-failed", k.failure, f)
	k.failure, k.keys, k.tries = f, nil, 0
}

// established takes in keys and finds the address they are for: an address
// as it is, "the same IP address as the NTS-KE server" when no other server
// was named (RFC 8915 section 4.1.7), or whatever the name resolves to.
func (k *keying) established(e *Engine, s *source, t *slot, ev KeysEstablished) {
	k.request = 0
	if !slices.ContainsFunc(ev.Cookies, func(c Secret) bool { return client.UsableCookie(c) }) || !ev.Algorithm.Supported() || ev.Server == "" || ev.Port == 0 {
		k.useless(e, s, Failure{Class: ClassProtocol, Text: "the key exchange gave no cookie of use, no server or no known algorithm; tell the server's operator"})
		return
	}
	if sameName(k.shun.names, ev.Server) {
		k.shun.useless() // better than none
	}
	k.keys, k.tries, k.retry, k.notAfter = &ev, 0, e.now.Mono, ev.NotAfter
	if a, err := netip.ParseAddr(ev.Server); err == nil {
		k.resolved(e, s, t, []netip.Addr{a})
		return
	}
	remote := ev.Remote.Addr().Unmap()
	if canonical(ev.Server) == k.ke.host && remote.IsValid() && s.cfg.Route.Proxy == "" && !slices.Contains(t.silent, remote) {
		k.resolved(e, s, t, []netip.Addr{remote})
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
		k.shun.add(k.keys.Server)
		k.ke.failed(true)
		k.keys, k.tries = nil, 0
	}
}

// resolved makes the server live at the first address that will do.
func (k *keying) resolved(e *Engine, s *source, t *slot, addrs []netip.Addr) {
	ev := k.keys
	fit := e.candidates(s, t, bounded(s.elsewhere(addrs, ev.Remote.Addr()), maxSilent), ev.Port)
	if len(fit) == 0 {
		k.shun.add(ev.Server)
		k.useless(e, s, Failure{Class: ClassProtocol, Text: "the key exchange named a server that is already in use, refused us, or has no usable address"})
		return
	}
	keys, err := newKeys(ev)
	if err != nil {
		k.useless(e, s, Failure{Class: ClassProtocol, Text: err.Error()})
		return
	}
	k.keys, k.tries, k.failure = nil, 0, Failure{}
	cookies := make([][]byte, len(ev.Cookies))
	for i, c := range ev.Cookies {
		cookies[i] = c
	}
	e.startAt(s, t, fit, ev.Port, ev.Server, keys, cookies)
	t.live.ke, k.fresh = k.ke, true
	e.keepable(s, t.live, ev)
	t.proof = e.proofOf(ev)
	e.toldProvisional(s, t)
}

// elsewhere leaves out the loopback addresses, which only a key exchange on
// this machine may name: others have no business with what listens on them.
func (s *source) elsewhere(addrs []netip.Addr, remote netip.Addr) []netip.Addr {
	if remote.Unmap().IsLoopback() && s.cfg.Route.Proxy == "" {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return a.Unmap().IsLoopback() })
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

func (k *keying) pending(s *source, t *slot) pending {
	switch {
	case k.request != 0:
		return pending{condition: Exchanging, retry: proto.Never, failure: k.failure}
	case k.lookup != 0:
		return pending{condition: Resolving, retry: proto.Never, failure: k.failure}
	case k.keys != nil:
		return pending{condition: Waiting, retry: k.retry, failure: k.failure}
	case s.service != nil && !k.aimed && t.wantsKeys():
		return s.service.pending(k)
	default:
		return pending{condition: Waiting, retry: s.ready(t), failure: k.failure}
	}
}

// keyed is what the spawners share that exchange keys.
type keyed struct{}

func (keyed) deadline(s *source) proto.Instant {
	d := proto.Never
	for _, t := range s.slots {
		d = min(d, s.ready(t), s.recheck(t))
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
			t.keying.failed(e, s, ev.Failure)
		}
	}
}

func (keyed) pending(s *source, t *slot) pending { return t.keying.pending(s, t) }

// hurry allows a slot one try whose last failed for one of some reasons that
// may be over. They are reasons that cost the key exchange server little: the
// name did not resolve, there was no route, this machine's clock was wrong. A
// machine that was away for a night should not wait half a night more. The
// intervals of what follows stay as they are, and so does the shortest.
func (k *keying) hurry(classes ...Class) {
	k.hurried = k.hurried || k.request == 0 && slices.Contains(classes, k.failure.Class)
}

// hurry is for when the network changed.
func (keyed) hurry(s *source, now proto.Instant) {
	for _, t := range s.slots {
		t.keying.hurry(ClassDNS, ClassNetwork)
	}
	s.service.hurry(now)
}

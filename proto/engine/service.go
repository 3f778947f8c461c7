package engine

import (
	"math/bits"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// How long what DNS says about a service is used before it is asked again,
// whatever the time to live.
const (
	minServiceTTL = time.Minute
	maxServiceTTL = time.Hour

	// maxVain is how often the shortest time is doubled while DNS tells
	// nothing; it is beyond the longest then.
	maxVain = 6
)

// service is what DNS says about who exchanges keys for a source, by SRV
// records. Whoever writes these records chooses the servers, so only those
// count that DNSSEC secures. Without them the key exchange at the name itself is
// asked, whose certificate says that it belongs there.
//
// DNS is asked when a slot needs keys, not while all is well.
type service struct {
	request RequestID     // 0 when none is in flight
	began   proto.Instant // the last look-up
	until   proto.Instant // the answer is good before
	failure Failure       // why the servers of the records are not used
	vain    int           // look-ups since the last that told something
	closed  bool          // the domain says that it has none
	targets []*keyServer  // in the order that was drawn; none: the name itself
}

// newService returns nil for a source that looks nothing up.
func newService(s *source) *service {
	if _, literal := s.literal(); literal || !s.cfg.SRV {
		return nil
	}
	return &service{}
}

// aim picks the key exchange server that a slot without keys asks next, after
// DNS where it has to be asked.
func (v *service) aim(e *Engine, s *source, t *slot) {
	k := &t.keying
	k.aimed = false
	if v.request != 0 {
		return
	}
	if e.now.Mono >= v.until {
		v.request, v.began = e.request(), e.now.Mono
		e.emit(Locate{Request: v.request, Domain: s.cfg.Host, Route: s.cfg.Route})
		return
	}
	if ke := v.pick(e, s, t); ke != nil {
		k.aimAt(ke)
		k.aimed = true
	}
}

// aimAt turns to a key exchange server. What was failed with another is no
// reason to wait for this one; its own failures are in ke.
func (k *keying) aimAt(ke *keyServer) {
	if k.ke != ke {
		k.ke, k.hurried = ke, false
		k.backoff = keyBackoff{last: k.backoff.last}
	}
}

// freeWalk is how many servers in a row a slot tries without a wait between
// them.
const freeWalk = 4

// pace is when a slot may go on to its next server. Each server has a wait of
// its own, but a domain that lists many, and others in every answer, should not
// keep us busy when none of them is of use.
func (k *keying) pace() proto.Instant {
	if k.walked <= freeWalk {
		return 0
	}
	return k.backoff.last.Add(min(keyRetry(k.walked-freeWalk), maxLookup))
}

// undecided reports whether a slot needs keys and is not about to get them, so
// that it matters whom it asks next.
func (t *slot) undecided() bool {
	return t.keying.request == 0 && t.keying.keys == nil && t.wantsKeys()
}

// recheck is when DNS is to be asked again for a slot, although whoever it
// would ask by the last answer has longer to wait: the domain may have other
// servers by then.
func (s *source) recheck(t *slot) proto.Instant {
	if s.service == nil || !t.undecided() {
		return proto.Never
	}
	return s.service.ready()
}

// ready is when a slot that has nobody to ask may look again.
func (v *service) ready() proto.Instant {
	if v.request != 0 {
		return proto.Never
	}
	return v.until
}

// pending describes a slot that has nobody to ask.
func (v *service) pending(k *keying) pending {
	if v.request != 0 {
		return pending{condition: Resolving, retry: proto.Never, failure: k.failure}
	}
	f := v.failure
	if !f.Failed() {
		f = Failure{Class: ClassNoService, Text: "the domain's SRV records name too few servers that are not in use"}
	}
	return pending{condition: Waiting, retry: v.until, failure: f}
}

// pick chooses, or returns nil if there is nobody: "A client MUST attempt to
// contact the target host with the lowest-numbered priority it can reach" (RFC
// 2782). So the order that was drawn decides, among those that were not asked
// in vain since the slot's keys last proved good; when all were, the next round
// begins, and then each has its own wait. A server that is well is asked for new keys itself.
func (v *service) pick(e *Engine, s *source, t *slot) *keyServer {
	k, l := &t.keying, t.live
	switch {
	case v.closed:
		return nil
	case len(v.targets) == 0:
		return s.ke
	case l != nil && !l.assoc.Unreachable() && slices.Contains(v.targets, l.ke) && !slices.Contains(k.tried, l.ke):
		return l.ke
	}
	free := slices.DeleteFunc(slices.Clone(v.targets), func(ke *keyServer) bool { return e.taken(ke, t) })
	if len(free) == 0 && s.cfg.Mode == ModeNTS {
		free = slices.Clone(v.targets) // better than none
	}
	if l != nil {
		if i := slices.Index(free, l.ke); i >= 0 { // the one that does not answer
			free = append(slices.Delete(free, i, i+1), l.ke)
		}
	}
	fresh := slices.DeleteFunc(slices.Clone(free), func(ke *keyServer) bool { return slices.Contains(k.tried, ke) })
	if len(fresh) == 0 {
		k.tried, fresh = nil, free
	}
	var best *keyServer
	for _, ke := range fresh {
		if best == nil || max(ke.ready(false), e.now.Mono) < max(best.ready(false), e.now.Mono) {
			best = ke
		}
	}
	return best
}

// taken reports whether another slot has its server from a key exchange server,
// or is about to: servers of one pool are to be different ones.
func (e *Engine) taken(ke *keyServer, except *slot) bool {
	found := false
	e.slots(func(_ *source, u *slot) {
		k, l := &u.keying, u.live
		asks := k.ke == ke && (k.aimed || k.request != 0 || k.keys != nil)
		has := l != nil && (l.ke == ke || l.assoc.Secure() && canonical(l.server) == ke.host)
		found = found || u != except && (asks || has)
	})
	return found
}

// located takes in what DNS says.
func (e *Engine) located(ev Located) {
	for _, s := range e.sources {
		if v := s.service; v != nil && v.request != 0 && v.request == ev.Request {
			v.located(e, s, ev)
		}
	}
}

func (v *service) located(e *Engine, s *source, ev Located) {
	before := v.failure
	if !ev.Failure.Failed() {
		v.vain = 0
	}
	v.request, v.failure, v.closed, v.targets = 0, ev.Failure, false, nil
	v.until = e.now.Mono.Add(min(max(ev.TTL, minServiceTTL<<v.vain), maxServiceTTL))
	records := srv.Usable(ev.Records)
	switch {
	case v.failure.Failed():
		v.failure.Text += "; the key exchange at the name itself is asked"
		v.vain = min(v.vain+1, maxVain)
	case len(ev.Records) == 0:
		v.failure = Failure{Class: ClassNoService, Text: "the domain has no SRV records for its key exchange; the one at the name itself is asked"}
	case len(records) == 0:
		// "A Target of '.' means that the service is decidedly not available at
		// this domain" (RFC 2782).
		v.closed = true
		v.failure = Failure{Class: ClassNoService, Text: "the domain's SRV records say that it has no key exchange, or none at a name; ask its operator, or set enable-srv-resolution to false"}
	default:
		for _, r := range srv.Order(records, e.below) {
			v.targets = append(v.targets, e.keyServer(r.Target, r.Port))
		}
	}
	if v.failure.Failed() {
		e.reportFailure(s, "srv-not-used", before, v.failure)
	}
	for _, t := range s.slots {
		t.keying.tried = slices.DeleteFunc(t.keying.tried, func(ke *keyServer) bool { return !slices.Contains(v.targets, ke) })
	}
	e.forgetKeyServers()
}

// below draws a number below n, each as likely as any other but for 2⁻⁶⁴ n.
func (e *Engine) below(n uint64) uint64 {
	r, err := e.random()
	if err != nil {
		e.noRandomness(err)
		return 0
	}
	hi, _ := bits.Mul64(r, n)
	return hi
}

// hurry asks again where it is not known what DNS says.
func (v *service) hurry(now proto.Instant) {
	if v != nil && v.request == 0 && v.failure.Failed() && v.failure.Class != ClassNoService {
		v.until, v.vain = min(v.until, max(now, v.began.Add(firstLookup))), 0
	}
}

// fallback is why a source does not use the servers that DNS names; zero if it
// does or is not to.
func (s *source) fallback() Failure {
	if s.service == nil {
		return Failure{}
	}
	return s.service.failure
}

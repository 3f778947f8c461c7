package server

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// seeded is entropy that can be repeated.
func seeded(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func limiter(t testing.TB, slots int, cutoff time.Duration) *RateLimiter {
	t.Helper()
	l, err := NewRateLimiter(slots, cutoff, seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// strict switches the leak off.
func strict(l *RateLimiter) *RateLimiter {
	l.leakOneIn = 1 << 62
	return l
}

func instant(d time.Duration) proto.Instant { return proto.Instant(d) }

// TestSipHash: the vector for eight octets of the reference implementation's
// vectors_sip64, under the key 00 01 .. 0f and the message 00 .. 07.
func TestSipHash(t *testing.T) {
	le := binary.LittleEndian
	b, _ := hex.DecodeString("000102030405060708090a0b0c0d0e0f")
	k := sipKey{le.Uint64(b), le.Uint64(b[8:])}
	if got, want := k.sum(le.Uint64(b)), le.Uint64([]byte{0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93}); got != want {
		t.Errorf("%016x, want %016x", got, want)
	}
}

func TestRateLimit(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	const ms = time.Millisecond
	type step struct {
		at   time.Duration
		from netip.Addr
		want Limit
	}
	for name, steps := range map[string][]step{
		"first":                  {{0, a, Within}},
		"at the cutoff":          {{0, a, Within}, {1000 * ms, a, Within}},
		"just before it":         {{0, a, Within}, {999 * ms, a, Over}, {1000 * ms, a, Within}},
		"refusals do not extend": {{0, a, Within}, {500 * ms, a, Over}, {900 * ms, a, Over}, {1000 * ms, a, Within}, {1001 * ms, a, Over}},
		"others are not refused": {{0, a, Within}, {1 * ms, b, Within}, {2 * ms, a, Over}, {3 * ms, b, Over}},
		"a little earlier":       {{10 * ms, a, Within}, {9 * ms, a, Over}},
		"a year later":           {{0, a, Within}, {365 * 24 * time.Hour, a, Within}, {365*24*time.Hour + ms, a, Over}},
	} {
		t.Run(name, func(t *testing.T) {
			l := strict(limiter(t, 1000, time.Second))
			for i, s := range steps {
				if got := l.Check(instant(time.Hour+s.at), s.from); got != s.want {
					t.Errorf("step %d: %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

func TestNoRateLimit(t *testing.T) {
	for _, l := range []*RateLimiter{nil, limiter(t, 0, time.Second), limiter(t, -1, time.Second), limiter(t, 10, -1)} {
		if l != nil {
			t.Error("a limiter without slots")
		}
		for range 3 {
			if got := l.Check(0, netip.IPv6Loopback()); got != Within {
				t.Errorf("no limiter said %v", got)
			}
		}
	}
}

// TestRateLimitOfZero refuses nobody, and remembers who asked.
func TestRateLimitOfZero(t *testing.T) {
	l := limiter(t, 1, 0)
	for i := range 3 {
		if got := l.Check(proto.Instant(i/2), netip.IPv6Loopback()); got != Within {
			t.Errorf("request %d: %v", i, got)
		}
	}
	if l.slots[0].Load() == 0 {
		t.Error("nobody is remembered")
	}
}

// TestRateLimiterKey: a client is an IPv4 address or an IPv6 /64, so that a
// host cannot have more by taking more addresses.
func TestRateLimiterKey(t *testing.T) {
	for _, test := range []struct {
		first, second string
		same          bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth0", true},
		{"::1", "::2", true},
		{"::1", "0.0.0.0", false},
	} {
		l := strict(limiter(t, 1000, time.Second))
		now := instant(time.Hour)
		l.Check(now, netip.MustParseAddr(test.first))
		if got := l.Check(now, netip.MustParseAddr(test.second)) == Over; got != test.same {
			t.Errorf("%s after %s: over %v", test.second, test.first, got)
		}
	}
}

// TestRateLimiterIsBounded: whatever comes, the table stays as it is, and
// clients that push each other out are answered.
func TestRateLimiterIsBounded(t *testing.T) {
	l := strict(limiter(t, 1, time.Second))
	now := instant(time.Hour)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 20 {
		if l.Check(now, a) != Within || l.Check(now, b) != Within {
			t.Fatal("clients in one slot refuse each other")
		}
	}
	if n := testing.AllocsPerRun(1000, func() { l.Check(now, a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRateLimiterSeed: which clients share a slot differs between daemons.
func TestRateLimiterSeed(t *testing.T) {
	slots := func(seed uint64) (all []uint64) {
		l, err := NewRateLimiter(1<<16, time.Second, seeded(seed))
		if err != nil {
			t.Fatal(err)
		}
		for i := range byte(32) {
			h := l.key.sum(client(netip.AddrFrom4([4]byte{192, 0, 2, i})))
			all = append(all, mulHigh(h, uint64(len(l.slots))))
		}
		return all
	}
	one, two, same := slots(1), slots(2), 0
	for i := range one {
		if one[i] == two[i] {
			same++
		}
	}
	if same > 2 {
		t.Errorf("%d of 32 clients keep their slot under another key", same)
	}
	if _, err := NewRateLimiter(1, 1, iotest.ErrReader(errBoom)); !errors.Is(err, errBoom) {
		t.Errorf("without entropy: %v", err)
	}
	if _, err := NewRateLimiter(1, 1, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("no error on too little entropy")
	}
}

var errBoom = errors.New("boom")

// TestVictimOfSpoofingIsAnswered: someone sends a thousand requests a second in
// a client's name. The client, which polls every 4 s, gets at least every fifth
// answer, and every one once the flood has ended.
func TestVictimOfSpoofingIsAnswered(t *testing.T) {
	l := limiter(t, 1000, time.Second)
	victim := netip.MustParseAddr("192.0.2.1")
	now := instant(time.Hour)
	polls, answered := 0, 0
	for i := range 2_000_000 {
		now = now.Add(time.Millisecond)
		if got := l.Check(now, victim); i%4000 == 1700 {
			polls++
			if got == Within {
				answered++
			}
		}
	}
	if answered*5 < polls {
		t.Errorf("%d of %d polls answered", answered, polls)
	}
	if answered*2 > polls {
		t.Errorf("%d of %d polls answered: no limit", answered, polls)
	}
	for range 10 {
		now = now.Add(4 * time.Second)
		if got := l.Check(now, victim); got != Within {
			t.Errorf("after the flood: %v", got)
		}
	}
}

// TestRateKissIsRare: one in eight refused requests of a client asks for a
// kiss, and none of the first seven.
func TestRateKissIsRare(t *testing.T) {
	l := strict(limiter(t, 1000, time.Second))
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := instant(time.Hour)
	l.Check(now, a)
	l.Check(now, b)
	for i := 1; i <= 32; i++ {
		want := Over
		if i%8 == 0 {
			want = Kiss
		}
		if got := l.Check(now, a); got != want {
			t.Errorf("refusal %d: %v, want %v", i, got, want)
		}
	}
	if got := l.Check(now, b); got != Over {
		t.Errorf("another client: %v", got)
	}
	for i := 2; i <= 8; i++ { // b's count goes on over an answer
		now = now.Add(time.Second)
		l.Check(now, b)
		if got, want := l.Check(now, b), i == 8; (got == Kiss) != want {
			t.Errorf("refusal %d of a client that is also answered: %v", i, got)
		}
	}
}

func TestRateLimiterPoll(t *testing.T) {
	for _, test := range []struct {
		cutoff time.Duration
		poll   int8
	}{
		{time.Millisecond, 0}, {time.Second, 0}, {1001 * time.Millisecond, 1}, {2 * time.Second, 1}, {64 * time.Second, 6}, {1 << 62, 17},
	} {
		if got := limiter(t, 1, test.cutoff).Poll(); got != test.poll {
			t.Errorf("%v: poll %d, want %d", test.cutoff, got, test.poll)
		}
	}
}

// TestRateLimiterLongCutoff: a cutoff beyond what a slot can hold still limits.
func TestRateLimiterLongCutoff(t *testing.T) {
	l := strict(limiter(t, 1, 1<<62))
	a := netip.MustParseAddr("192.0.2.1")
	l.Check(instant(time.Hour), a)
	if got := l.Check(instant(24*300*time.Hour), a); got != Over {
		t.Errorf("%v", got)
	}
	if got := l.Check(instant(24*420*time.Hour), a); got != Within {
		t.Errorf("after more than a slot can hold: %v", got)
	}
}

// TestEmptySlotIsNobodys: not even that of a client whose hash looks like it,
// when the machine has just booted.
func TestEmptySlotIsNobodys(t *testing.T) {
	l := strict(limiter(t, 1, time.Hour))
	for i := range uint32(1 << 26) {
		a := netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		if l.key.sum(client(a))<<(timeBits+countBits) != 0 {
			continue
		}
		if got := l.Check(0, a); got != Within {
			t.Errorf("first request of %v: %v", a, got)
		}
		return
	}
	t.Fatal("no such client")
}

// TestRateLimiterWorkers: several workers share a limiter.
func TestRateLimiterWorkers(t *testing.T) {
	l := strict(limiter(t, 4, time.Second))
	var answered [4]int
	var all sync.WaitGroup
	for w := range answered {
		all.Go(func() {
			for range 1000 {
				if l.Check(instant(time.Hour), netip.MustParseAddr("192.0.2.1")) == Within {
					answered[w]++
				}
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range answered {
		total += n
	}
	if total < 1 || total > len(answered) {
		t.Errorf("%d answers in one cutoff by %d workers", total, len(answered))
	}
}

func BenchmarkRateLimiter(b *testing.B) {
	l := limiter(b, 1<<16, time.Second)
	a := netip.MustParseAddr("192.0.2.1")
	for i := 0; b.Loop(); i++ {
		l.Check(proto.Instant(i), a)
	}
}

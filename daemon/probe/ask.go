package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/proto"
)

// DefaultTimeout is how long an answer may take.
const DefaultTimeout = 2 * time.Second

// Question is one request to one address.
type Question struct {
	To      netip.AddrPort
	Timeout time.Duration // DefaultTimeout if 0

	// Session makes the request one with NTS, and Placeholders (0 to 7) asks
	// for so many cookies more, which makes it longer.
	Session      *Session
	Placeholders int

	// Pad makes a plain request longer by about so many octets.
	Pad int
}

// Answer is what came of a Question. Durations are in seconds; what did not
// come is null.
type Answer struct {
	To            netip.AddrPort `json:"address"`
	Verdict       Verdict        `json:"verdict"`
	Detail        string         `json:"detail,omitempty"`
	Octets        int            `json:"octets"`
	ReplyOctets   int            `json:"reply_octets,omitempty"`
	Authenticated bool           `json:"authenticated"`
	Cookies       int            `json:"cookies,omitempty"`

	Offset *float64 `json:"offset"` // of the server's clock from this machine's
	Delay  *float64 `json:"delay"`  // of the way there and back

	Version        uint8           `json:"version,omitempty"`
	Leap           uint8           `json:"leap"`
	Stratum        uint8           `json:"stratum"`
	RefID          string          `json:"reference_id,omitempty"`
	RootDelay      float64         `json:"root_delay"`
	RootDispersion float64         `json:"root_dispersion"`
	Precision      int8            `json:"precision"` // log2 seconds
	Reference      proto.Timestamp `json:"-"`
	header         proto.Header
}

// Bound is the most that the offset can be wrong if the server keeps its
// word: half the delay, half the server's root delay, and its dispersion, in
// seconds.
func (a *Answer) Bound() float64 {
	if a.Delay == nil {
		return 0
	}
	return *a.Delay/2 + a.RootDelay/2 + a.RootDispersion
}

// RootDistance bounds the error of the server's own clock, in seconds.
func (a *Answer) RootDistance() float64 { return a.RootDelay/2 + a.RootDispersion }

// Header is the reply's header; zero where none came.
func (a *Answer) Header() proto.Header { return a.header }

func (a *Answer) fill(h *proto.Header) {
	a.header = *h
	a.Version, a.Leap, a.Stratum = h.Version, uint8(h.Leap), h.Stratum
	a.RefID, a.Precision, a.Reference = refID(h), h.Precision, h.Reference
	a.RootDelay = h.RootDelay.Duration().Seconds()
	a.RootDispersion = h.RootDispersion.Duration().Seconds()
}

// refID prints an identifier as what it is: text for kiss codes and reference
// clocks, else an address or a hash.
func refID(h *proto.Header) string {
	if h.Stratum > 1 {
		v := uint32(h.RefID)
		return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}).String()
	}
	return h.RefID.String()
}

// Ask sends one request and waits for its answer.
func Ask(ctx context.Context, q Question) Answer {
	a := Answer{To: q.To}
	if q.Timeout <= 0 {
		q.Timeout = DefaultTimeout
	}
	r, err := newRequest(&q)
	if err != nil {
		a.Verdict, a.Detail = Failed, err.Error()
		return a
	}
	a.Octets = len(r.octets)
	conn, err := new(net.Dialer).DialContext(ctx, "udp", q.To.String())
	if err != nil {
		a.failed(err)
		return a
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	r.exchange(conn, &q, &a)
	return a
}

// exchange sends and waits.
func (r *request) exchange(conn net.Conn, q *Question, a *Answer) {
	conn.SetReadDeadline(time.Now().Add(q.Timeout))
	t1 := time.Now()
	if _, err := conn.Write(r.octets); err != nil {
		a.failed(err)
		return
	}
	a.Verdict = NoAnswer
	buffer := make([]byte, 2048)
	for {
		n, err := conn.Read(buffer)
		t4 := t1.Add(time.Since(t1)) // by the monotonic clock: a step meanwhile does not count
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				a.failed(err)
			}
			return
		}
		if r.judge(buffer[:n], q.Session, a) {
			a.measure(proto.FromTime(t1), proto.FromTime(t4))
			return
		}
	}
}

// Elsewhere asks again from a socket that hears everybody, and says whether
// the answer comes from another address than was asked: from a host with
// several, a server may answer from the wrong one.
func Elsewhere(ctx context.Context, q Question) (from netip.AddrPort, ok bool) {
	r, err := newRequest(&q)
	if err != nil {
		return from, false
	}
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return from, false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetReadDeadline(time.Now().Add(q.Timeout)) // else it shows in the read
	if _, err := conn.WriteToUDPAddrPort(r.octets, q.To); err != nil {
		return from, false
	}
	for buffer := make([]byte, 2048); ; {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return netip.AddrPort{}, false
		}
		if r.judge(buffer[:n], q.Session, &Answer{}) {
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if from == q.To {
				return netip.AddrPort{}, false
			}
			return from, true
		}
	}
}

// maxHold is how long a server may sit on a request.
const maxHold = 16 * proto.Second

// measure takes the times of a reply, and looks whether they can be.
func (a *Answer) measure(t1, t4 proto.Timestamp) {
	h := &a.header
	if a.Verdict != Answered {
		return
	}
	if code, kiss := h.Kiss(); kiss {
		a.Verdict, a.RefID = Kissed, code.String()
		return
	}
	hold, delay := h.Transmit.Sub(h.Receive), t4.Sub(t1)
	delay -= hold
	offset := h.Receive.Sub(t1)/2 + h.Transmit.Sub(t4)/2
	switch {
	case h.Leap == proto.LeapUnsynchronised || h.Stratum >= proto.MaxStratum:
		a.Verdict = Unsynchronised
		return
	case h.Receive.IsZero() || h.Transmit.IsZero():
		a.Verdict, a.Detail = Senseless, "its receive or transmit time is missing"
		return
	case hold < 0 || hold > maxHold:
		a.Verdict, a.Detail = Senseless, "it was sent before it was received, or long after"
		return
	}
	o, d := offset.Seconds(), max(delay, 0).Seconds()
	a.Offset, a.Delay = &o, &d
}

// failed says what an error of the network means.
func (a *Answer) failed(err error) {
	a.Detail = neterr.Cause(err).Error()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		a.Verdict = NoAnswer
	case errors.Is(err, syscall.ECONNREFUSED):
		a.Verdict = Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		a.Verdict = NoRoute
	case errors.Is(err, os.ErrPermission):
		a.Verdict = Forbidden
	default:
		a.Verdict = Failed
	}
}

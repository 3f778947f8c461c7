package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// CheckOptions says what to check of NTS, and how.
type CheckOptions struct {
	Target
	Network string // "ip", "ip4" or "ip6"; empty is "ip"
	Roots   *x509.CertPool
	Timeout time.Duration // of one connection or request; DefaultTimeout if 0
	// Algorithms asks for each algorithm alone which of them the server has.
	Algorithms bool
	// Lengths tries requests of several lengths.
	Lengths bool
	// CertificateDays is how long the certificate should still be valid.
	CertificateDays int
}

// Check is everything that was found out about NTS with one host.
type Check struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
	Finding

	TCP      []Connection `json:"tcp"`
	Shown    *Shown       `json:"shown,omitempty"`
	Exchange *Exchange    `json:"exchange,omitempty"`
	AEAD     []Offer      `json:"aead,omitempty"`
	Plain    *Answer      `json:"ntp,omitempty"`
	Secure   *Answer      `json:"ntp_with_nts,omitempty"`
	Padded   *Answer      `json:"ntp_padded,omitempty"`
	Lengths  []Length     `json:"lengths,omitempty"`

	lookup  error
	session *Session
	failure *ke.Error
	now     time.Time
}

// Connection is one attempt to reach the key exchange.
type Connection struct {
	Address netip.AddrPort `json:"address"`
	Seconds float64        `json:"seconds"`
	Error   string         `json:"error,omitempty"`
	err     error
}

// Exchange is a key exchange that worked.
type Exchange struct {
	Address   netip.AddrPort `json:"address"`
	Seconds   float64        `json:"seconds"`
	Algorithm string         `json:"algorithm"`
	Cookies   int            `json:"cookies"`
	CookieLen int            `json:"cookie_octets"`
	Server    string         `json:"ntp_server"`
	Port      uint16         `json:"ntp_port"`
	NotAfter  time.Time      `json:"certificate_not_after"`
}

// Offer is whether a server has an algorithm.
type Offer struct {
	Algorithm string `json:"algorithm"`
	Supported bool   `json:"supported"`
	Error     string `json:"error,omitempty"`
}

// Length is what came of an NTS request of one length.
type Length struct {
	Octets  int     `json:"octets"`
	Verdict Verdict `json:"verdict"`
}

// maxAddresses bounds how many addresses of a name are tried.
const maxAddresses = 4

// CheckNTS does the whole of it for one host and says what is wrong.
func CheckNTS(ctx context.Context, o CheckOptions) *Check {
	if o.Network == "" {
		o.Network = "ip"
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Check{Host: o.Host, Port: o.Port, TCP: []Connection{}, now: time.Now()}
	c.run(ctx, &o)
	c.Finding = c.diagnose(&o)
	return c
}

func (c *Check) run(ctx context.Context, o *CheckOptions) {
	addrs, err := Lookup(ctx, o.Network, o.Host)
	if err != nil {
		c.lookup = err
		return
	}
	open := c.connect(ctx, addrs[:min(len(addrs), maxAddresses)], o)
	if len(open) == 0 {
		c.plain(ctx, addrs[0], 123, o)
		return
	}
	if s, err := Look(c.within(ctx, o), open[0], o.Host); err == nil {
		c.Shown = &s
	}
	if !c.exchange(ctx, open, o) {
		c.plain(ctx, open[0].Addr(), 123, o)
		return
	}
	if o.Algorithms {
		c.offers(ctx, open, o)
	}
	c.ntp(ctx, o)
}

// within bounds a step by three timeouts; the context's end releases it.
func (c *Check) within(ctx context.Context, o *CheckOptions) context.Context {
	bounded, cancel := context.WithTimeout(ctx, 3*o.Timeout)
	context.AfterFunc(bounded, cancel)
	return bounded
}

// connect tries all addresses at once and returns those that answer.
func (c *Check) connect(ctx context.Context, addrs []netip.Addr, o *CheckOptions) []netip.AddrPort {
	c.TCP = make([]Connection, len(addrs))
	var all sync.WaitGroup
	for i, a := range addrs {
		all.Go(func() {
			to := netip.AddrPortFrom(a, o.Port)
			took, err := TCP(ctx, to, o.Timeout)
			c.TCP[i] = Connection{Address: to, Seconds: took.Seconds(), err: err}
			if err != nil {
				c.TCP[i].Error = neterr.Cause(err).Error()
			}
		})
	}
	all.Wait()
	var open []netip.AddrPort
	for i := range c.TCP {
		if c.TCP[i].err == nil {
			open = append(open, c.TCP[i].Address)
		}
	}
	return open
}

func (c *Check) exchange(ctx context.Context, open []netip.AddrPort, o *CheckOptions) bool {
	start := time.Now()
	s, err := Establish(c.within(ctx, o), ke.ClientRequest{Host: o.Host, Port: o.Port, Addrs: open, Roots: o.Roots, Algorithms: Algorithms()})
	if err != nil {
		if !errors.As(err, &c.failure) {
			c.failure = &ke.Error{Host: o.Host, Port: o.Port, What: "use the keys", Err: err}
		}
		return false
	}
	c.session = s
	c.Exchange = &Exchange{
		Address: s.Remote, Seconds: time.Since(start).Seconds(), Algorithm: s.Algorithm.String(), Cookies: s.Cookies(),
		CookieLen: s.CookieLen(), Server: s.Server, Port: s.Port, NotAfter: s.NotAfter.UTC(),
	}
	return true
}

// offers asks for each algorithm alone.
func (c *Check) offers(ctx context.Context, open []netip.AddrPort, o *CheckOptions) {
	for _, a := range Algorithms() {
		offer := Offer{Algorithm: a.String(), Supported: a == c.session.Algorithm}
		if !offer.Supported {
			_, err := Establish(c.within(ctx, o), ke.ClientRequest{Host: o.Host, Port: o.Port, Addrs: open, Roots: o.Roots, Algorithms: []aead.Algorithm{a}})
			offer.Supported = err == nil
			if failure := (*ke.Error)(nil); errors.As(err, &failure) && failure.Class != ke.ClassNoOverlap {
				offer.Error = failure.Error()
			}
		}
		c.AEAD = append(c.AEAD, offer)
	}
}

// ntp asks the NTP server without and with NTS.
func (c *Check) ntp(ctx context.Context, o *CheckOptions) {
	addrs, err := Lookup(ctx, o.Network, c.session.Server)
	if err != nil {
		c.lookup = err
		return
	}
	to := netip.AddrPortFrom(addrs[0], c.session.Port)
	c.plain(ctx, to.Addr(), to.Port(), o)
	secure := AskTwice(ctx, Question{To: to, Timeout: o.Timeout, Session: c.session})
	c.Secure = &secure
	if secure.Verdict == NoAnswer && c.Plain.Verdict.Came() {
		padded := AskTwice(ctx, Question{To: to, Timeout: o.Timeout, Pad: secure.Octets - c.Plain.Octets})
		c.Padded = &padded
	}
	if o.Lengths && secure.Verdict == Answered {
		c.Lengths = TryLengths(ctx, to, c.session, o.Timeout)
	}
}

func (c *Check) plain(ctx context.Context, to netip.Addr, port uint16, o *CheckOptions) {
	a := AskTwice(ctx, Question{To: netip.AddrPortFrom(to, port), Timeout: o.Timeout})
	c.Plain = &a
}

// AskTwice asks again where nothing came: one packet may get lost.
func AskTwice(ctx context.Context, q Question) Answer {
	a := Ask(ctx, q)
	if a.Verdict == NoAnswer && ctx.Err() == nil && (q.Session == nil || q.Session.Cookies() > 0) {
		a = Ask(ctx, q)
	}
	return a
}

// longest is how long a request gets in octets: what follows must fit a packet
// that no network cuts in pieces.
const longest = 1400

// TryLengths sends NTS requests of growing length, by asking for more and
// more cookies.
func TryLengths(ctx context.Context, to netip.AddrPort, s *Session, timeout time.Duration) []Length {
	var out []Length
	for _, placeholders := range []int{0, 1, 3, 5, 7} {
		const besides = 48 + 36 + 40 // header, unique identifier, authenticator
		if s.Cookies() == 0 || besides+(placeholders+1)*(s.CookieLen()+4) > longest {
			break
		}
		a := AskTwice(ctx, Question{To: to, Timeout: timeout, Session: s, Placeholders: placeholders})
		out = append(out, Length{Octets: a.Octets, Verdict: a.Verdict})
	}
	return out
}

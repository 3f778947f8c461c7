package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Severity is how bad a finding is: the exit code of a monitoring plugin.
type Severity int

// The severities.
const (
	OK       Severity = 0
	Warning  Severity = 1
	Critical Severity = 2
	Unknown  Severity = 3 // the check itself could not be made
)

// String names a severity.
func (s Severity) String() string {
	switch s {
	case OK:
		return "ok"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	default:
		return "unknown"
	}
}

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Worse is the worse of two for the whole of several checks: Critical beats
// Unknown.
func (s Severity) Worse(t Severity) Severity {
	rank := map[Severity]int{OK: 0, Warning: 1, Unknown: 2, Critical: 3}
	if rank[t] > rank[s] {
		return t
	}
	return s
}

// Finding is what a check comes to.
type Finding struct {
	Severity Severity `json:"status"`
	Class    string   `json:"class"`    // a stable word
	Sentence string   `json:"sentence"` // what is wrong, or that nothing is
	Fix      string   `json:"fix,omitempty"`
}

// diagnose turns what was measured into one sentence: the first cause on the
// way of the packets.
func (c *Check) diagnose(o *CheckOptions) Finding {
	switch {
	case c.lookup != nil:
		return lookupFinding(c.hostLookedUp(), c.lookup)
	case c.session == nil && c.failure == nil:
		return c.unreachable(o)
	case c.failure != nil:
		return c.handshake()
	default:
		return c.service(o)
	}
}

// hostLookedUp is the name whose look-up was the last.
func (c *Check) hostLookedUp() string {
	if c.session != nil {
		return c.session.Server
	}
	return c.Host
}

func lookupFinding(host string, err error) Finding {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return Finding{Critical, "dns", fmt.Sprintf("%q does not resolve: %s", host, LookupReason(err)), "check the spelling of the name"}
	}
	return Finding{Unknown, "dns", fmt.Sprintf("%q does not resolve: %s", host, LookupReason(err)), "check the network and the name servers in /etc/resolv.conf"}
}

// unreachable is a key exchange to which no TCP connection comes about.
func (c *Check) unreachable(o *CheckOptions) Finding {
	err := c.TCP[0].err
	ntp := "; NTP over UDP 123 does not answer either"
	if c.Plain != nil && c.Plain.Verdict.Came() {
		ntp = "; plain NTP with it works"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Finding{Critical, "refused", fmt.Sprintf("nothing listens on TCP port %d of %s%s", o.Port, c.Host, ntp),
			"check the port, and that this host offers NTS"}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return Finding{Critical, "filtered", fmt.Sprintf("filtered: TCP port %d of %s does not answer%s", o.Port, c.Host, ntp),
			"allow outgoing TCP to this port in the firewall, or ask the operator"}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return Finding{Unknown, "no-route", fmt.Sprintf("this machine has no route to %s: %v", c.TCP[0].Address.Addr(), neterr.Cause(err)),
			"check the network connection, or choose the other address family"}
	default:
		return Finding{Critical, "network", fmt.Sprintf("no connection to TCP port %d of %s: %v", o.Port, c.Host, neterr.Cause(err)), ""}
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// handshake is a key exchange that failed behind the TCP connection.
func (c *Check) handshake() Finding {
	e := c.failure
	f := Finding{Critical, e.Class.String(), e.What, e.Hint}
	if e.Err != nil {
		f.Sentence += ": " + printable(e.Err.Error())
	}
	switch e.Class {
	case ke.ClassCertificateExpired:
		return c.validity(f)
	case ke.ClassCertificateName:
		f.Sentence = "name mismatch: " + f.Sentence
	case ke.ClassCertificateAuthority:
		f.Sentence = "untrusted: the server's certificate is signed by an authority that this machine does not know" + c.issuer()
		f.Fix = "name the authority's certificate file (--ca, or certificate-authority in the configuration); if you expected a public authority, something may be intercepting TLS"
		if c.bare() {
			f.Sentence += ", and the server sends no intermediate certificate"
			f.Fix = "if that is an intermediate authority, the operator must send its certificate too (fullchain.pem, not cert.pem); if it is a private one, " + f.Fix
		}
	case ke.ClassCertificateSelf:
		f.Sentence = "untrusted: the server's certificate is self-signed"
	case ke.ClassALPN:
		f.Sentence = "not a key exchange: the TLS server at this port does not speak " + nts.ALPN
		f.Fix = "check the port; a proxy or web server that terminates TLS in between must pass it through"
	case ke.ClassTLS:
		if c.Shown != nil && c.Shown.TLS != "TLS 1.3" && c.Shown.TLS != "" {
			f.Sentence = "the server offers no more than " + c.Shown.TLS + "; NTS needs TLS 1.3"
		}
	case ke.ClassTimeout:
		f.Sentence = "the TCP connection opens, but the TLS handshake gets no answer: something in between swallows it, or the server hangs"
	case ke.ClassNetwork:
		f.Sentence = "the TCP connection opens, but is cut off during the key exchange: " + printable(fmt.Sprint(e.Err))
	}
	return f
}

func (c *Check) issuer() string {
	if c.Shown == nil || len(c.Shown.Chain) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%q)", c.Shown.Chain[len(c.Shown.Chain)-1].Issuer)
}

// bare reports whether the server sent its own certificate alone.
func (c *Check) bare() bool { return c.Shown != nil && len(c.Shown.Chain) == 1 }

// validity tells an expired certificate from a wrong clock: by what the
// server's own NTP says the time is.
func (c *Check) validity(f Finding) Finding {
	if c.Shown == nil || c.Shown.Leaf == nil {
		return f
	}
	from, to := c.Shown.Leaf.NotBefore, c.Shown.Leaf.NotAfter
	if c.Plain != nil && c.Plain.Offset != nil {
		there := c.now.Add(time.Duration(*c.Plain.Offset * float64(time.Second)))
		if there.After(from) && there.Before(to) && math.Abs(*c.Plain.Offset) > 60 {
			f.Class = "clock"
			f.Sentence = fmt.Sprintf("this machine's clock is off: the certificate is valid at the server's time %s, but not at this machine's %s",
				there.UTC().Format(time.RFC3339), c.now.UTC().Format(time.RFC3339))
			f.Fix = "set the clock roughly once (plain NTP works with this server), then NTS works"
			return f
		}
	}
	if c.now.Before(from) {
		f.Sentence = fmt.Sprintf("not valid yet: the certificate is valid from %s, and this machine's clock says %s", from.UTC().Format(time.DateOnly), c.now.UTC().Format(time.DateOnly))
		f.Fix = "check this machine's clock"
		return f
	}
	f.Sentence = fmt.Sprintf("expired: the certificate was valid until %s, %d days ago", to.UTC().Format(time.DateOnly), int(c.now.Sub(to).Hours()/24))
	f.Fix = "the operator must renew it; check this machine's clock if others work"
	return f
}

// service is NTP with keys that were agreed.
func (c *Check) service(o *CheckOptions) Finding {
	at := fmt.Sprintf("UDP port %d of %s", c.Secure.To.Port(), c.Secure.To.Addr())
	plain := c.Plain.Verdict.Came()
	switch v := c.Secure.Verdict; {
	case v == Stripped:
		return Finding{Critical, "intercepted", "intercepted: the key exchange works, but " + at + " is answered by something that does not know NTS",
			"a router or firewall redirects NTP to a server of its own: exempt this machine, or use a server that negotiates another UDP port"}
	case v == Answered:
		return c.working(o)
	case v == NoAnswer && c.Padded != nil && c.Padded.Verdict == NoAnswer:
		return Finding{Critical, "filtered-by-length",
			fmt.Sprintf("filtered by length: %s answers %d octets of NTP, but nothing of %d octets, with NTS or without", at, c.Plain.Octets, c.Secure.Octets),
			"the network drops long NTP packets: use a server that negotiates another UDP port, or another network"}
	case v == NoAnswer && plain:
		return Finding{Critical, "no-nts",
			at + " answers plain NTP, but nothing with NTS, although plain packets of the same length pass",
			"the NTP server does not do NTS (another host than the key exchange?), or something in between drops NTS"}
	case v == NoAnswer:
		return Finding{Critical, "filtered", "filtered: the key exchange works, but " + at + " answers nothing, with NTS or without",
			"allow outgoing UDP to this port, or ask the operator whether NTP runs"}
	case v == Refused:
		return Finding{Critical, "ntp-refused", "the key exchange works, but nothing listens on " + at,
			"the operator must start the NTP server, or name it in the key exchange"}
	case v == Rejected:
		return Finding{Critical, "nts-nak", "the NTP server does not accept the cookies of its own key exchange (NTS negative acknowledgement)",
			"the operator's key exchange and NTP server must share their cookie keys"}
	case v == Unsynchronised:
		return Finding{Critical, "unsynchronised", "NTS works, but the server says that it is not synchronised itself", "use another server until it is"}
	default:
		return Finding{Critical, v.String(), "the key exchange works, but NTP with NTS does not: " + c.Secure.Sentence(), ""}
	}
}

// working is NTS that works, perhaps not always or not for long.
func (c *Check) working(o *CheckOptions) Finding {
	if low, high, cut := Cut(c.Lengths); cut {
		return Finding{Warning, "filtered-by-length",
			fmt.Sprintf("filtered by length: NTS packets of %d octets pass, those of %d do not", low, high),
			"short of cookies the client will ask in vain: use a server that negotiates another UDP port, or another network"}
	}
	left := int(time.Until(c.session.NotAfter).Hours() / 24)
	if time.Until(c.session.NotAfter) < c.renewal(o) {
		return Finding{Warning, "expires-soon", fmt.Sprintf("works, but the certificate expires in %d days, on %s", left, c.session.NotAfter.UTC().Format(time.DateOnly)),
			"the operator should renew it"}
	}
	sentence := fmt.Sprintf("works: %v, %d cookies", c.session.Algorithm, c.Exchange.Cookies)
	if c.Secure.Offset != nil {
		sentence += fmt.Sprintf(", offset %+.6f s ± %.6f s", *c.Secure.Offset, c.Secure.Bound())
	}
	return Finding{OK, "works", sentence, ""}
}

// renewal is how long before its end a certificate should have been renewed:
// the days that are asked for, but no more than a third of the whole validity,
// since there are authorities whose certificates live for days only.
func (c *Check) renewal(o *CheckOptions) time.Duration {
	at := time.Duration(o.CertificateDays) * 24 * time.Hour
	if c.Shown != nil && c.Shown.Leaf != nil {
		at = min(at, c.Shown.Leaf.NotAfter.Sub(c.Shown.Leaf.NotBefore)/3)
	}
	return at
}

// Cut finds the length above which requests get no answer.
func Cut(lengths []Length) (passes, fails int, cut bool) {
	for _, l := range lengths {
		switch {
		case l.Verdict == Answered:
			passes = l.Octets
		case l.Verdict == NoAnswer && fails == 0:
			fails = l.Octets
		}
	}
	return passes, fails, fails > passes && passes > 0
}

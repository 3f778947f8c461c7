package probe

import "fmt"

// Verdict is what came of one request.
type Verdict uint8

// The verdicts.
const (
	Answered       Verdict = iota // a proper time reply
	Unsynchronised                // the server says that it does not know the time
	Kissed                        // a kiss code instead of the time
	Senseless                     // the times in the reply cannot be
	NoAnswer                      // nothing came in time
	Refused                       // the host says that nobody listens there
	NoRoute                       // this machine cannot send there
	Forbidden                     // a policy on this machine forbids to send
	Mismatched                    // only replies to other requests came
	Malformed                     // what came is no NTP packet of a server
	Stripped                      // the reply to an NTS request has no NTS fields
	Rejected                      // an NTS negative acknowledgement
	Forged                        // the reply's authenticator is wrong or missing
	Failed                        // something else, see the error
)

var verdictNames = [...]string{
	"answered", "unsynchronised", "kiss", "senseless", "no-answer", "refused", "no-route", "forbidden",
	"mismatched", "malformed", "stripped", "nts-nak", "forged", "failed",
}

// String is the verdict's stable name, as JSON output has it.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict-%d", uint8(v))
}

// MarshalText writes the name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Came reports whether any packet of a server came back for the request.
func (v Verdict) Came() bool {
	switch v {
	case Answered, Unsynchronised, Kissed, Senseless, Stripped, Rejected, Forged, Malformed:
		return true
	default:
		return false
	}
}

// Sentence says what a verdict means for a person.
func (a *Answer) Sentence() string {
	switch a.Verdict {
	case Answered:
		return "it answers"
	case Unsynchronised:
		return fmt.Sprintf("it answers that it is not synchronised itself (leap indicator %d, stratum %d)", a.Leap, a.Stratum)
	case Kissed:
		return "it answers with the kiss code " + a.RefID + kissMeaning(a.RefID)
	case Senseless:
		return "the times in its reply cannot be: " + a.Detail
	case NoAnswer:
		return fmt.Sprintf("no answer to %d octets over UDP", a.Octets)
	case Refused:
		return "nothing listens on this UDP port (ICMP port unreachable)"
	case NoRoute:
		return "this machine has no route there: " + a.Detail
	case Forbidden:
		return "this machine's own firewall or policy forbids to send there: " + a.Detail
	case Mismatched:
		if a.Detail != "" {
			return a.Detail
		}
		return "only replies that match no request came"
	case Malformed:
		return "what came back is no reply of an NTP server: " + a.Detail
	case Stripped:
		return "the reply to a request with NTS has no NTS fields"
	case Rejected:
		return "it does not accept the cookie (NTS negative acknowledgement)"
	case Forged:
		return "the reply does not authenticate: " + a.Detail
	default:
		return a.Detail
	}
}

func kissMeaning(code string) string {
	switch code {
	case "DENY", "RSTR":
		return " (access denied: it does not serve this client)"
	case "RATE":
		return " (asked too often)"
	case "NTSN":
		return " (it does not accept the cookie)"
	default:
		return ""
	}
}

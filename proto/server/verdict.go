package server

// Verdict is what became of one request. It is counted, never logged: whoever
// can send packets must not be able to fill a disk.
type Verdict uint8

// Verdicts. Those up to RateKissed were answered, the others dropped.
const (
	Accepted     Verdict = iota // the time
	AcceptedNTS                 // the time, authenticated
	Denied                      // DENY kiss
	DeniedNTS                   // DENY kiss, authenticated
	NAKed                       // NTSN kiss: cookie or authenticator failed
	RateKissed                  // RATE kiss: over the rate limit
	RateLimited                 // over the rate limit, dropped
	Refused                     // by an access list with action ignore
	NTSRequired                 // plain request where NTS is required
	WrongTarget                 // sent to a broadcast or multicast address, or from port 0
	Malformed                   // no NTP packet, or against a rule of RFC 7822 or RFC 8915
	WrongMode                   // not a client's request
	WrongVersion                // a version that is not accepted
	NoKeys                      // an NTS request, but there is no key set
	NoTime                      // the clock could not be read, or was set while answering
	Failed                      // no entropy, or encryption failed
	verdicts     = iota
)

// names of the verdicts, as statistics print them.
var names = [verdicts]string{
	Accepted:     "accepted",
	AcceptedNTS:  "accepted-nts",
	Denied:       "denied",
	DeniedNTS:    "denied-nts",
	NAKed:        "nts-nak",
	RateKissed:   "rate-kiss",
	RateLimited:  "rate-limited",
	Refused:      "refused",
	NTSRequired:  "nts-required",
	WrongTarget:  "wrong-target",
	Malformed:    "malformed",
	WrongMode:    "wrong-mode",
	WrongVersion: "wrong-version",
	NoKeys:       "no-keys",
	NoTime:       "no-time",
	Failed:       "failed",
}

// String is the verdict's stable name.
func (v Verdict) String() string {
	if int(v) >= len(names) {
		return "invalid"
	}
	return names[v]
}

// Answered reports whether a response was made.
func (v Verdict) Answered() bool { return v <= RateKissed }

// Verdicts returns all of them, in order.
func Verdicts() []Verdict {
	all := make([]Verdict, verdicts)
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

package client

// Verdict is what an association thinks of a datagram. Dropped packets are
// counted, not reported as errors.
type Verdict uint8

// Verdicts, in the order of the checks.
const (
	Accepted Verdict = iota // a time reply that counts

	// Dropped: length and parse.
	Short        // cannot hold a header
	Long         // longer than any reply to our requests
	Malformed    // extension fields or MAC do not parse
	WrongVersion // not a version that we asked for
	WrongMode    // not a server's packet

	// Dropped: origin.
	Unsolicited // no exchange is waiting for a reply
	Late        // the exchange's window has passed
	BadOrigin   // does not repeat the request's transmit field

	// Dropped: Network Time Security.
	BadUniqueID     // not exactly one unique identifier, or another one
	Unauthenticated // carries no authenticator where one is required
	BadAuthenticator

	// Kiss codes of packets that passed every check above.
	KissDeny  // DENY or RSTR
	KissRate  // RATE
	KissNTSN  // NTS negative acknowledgement
	KissOther // without significance (RFC 5905 section 7.4)

	// Sanity of a time reply.
	Unsynchronised // the server says that it does not know the time
	BadStratum     // above 16
	BadTimes       // receive or transmit time missing, or out of order
	BadRoot        // root distance of 16 s or more
	BadDelay       // reply before request, or a round trip that cannot be
	Straddled      // the clock was moved while the exchange was in flight

	verdicts
)

var verdictNames = [verdicts]string{
	Accepted: "accepted", Short: "short", Long: "long", Malformed: "malformed",
	WrongVersion: "wrong-version", WrongMode: "wrong-mode",
	Unsolicited: "unsolicited", Late: "late", BadOrigin: "bad-origin",
	BadUniqueID: "bad-unique-id", Unauthenticated: "unauthenticated", BadAuthenticator: "bad-authenticator",
	KissDeny: "kiss-deny", KissRate: "kiss-rate", KissNTSN: "kiss-ntsn", KissOther: "kiss-other",
	Unsynchronised: "unsynchronised", BadStratum: "bad-stratum", BadTimes: "bad-times",
	BadRoot: "bad-root", BadDelay: "bad-delay", Straddled: "straddled",
}

// String is the verdict's stable name, used in metrics and logs.
func (v Verdict) String() string {
	if v < verdicts {
		return verdictNames[v]
	}
	return "invalid"
}

// Counts says how often an association came to each verdict.
type Counts [verdicts]uint64

// Of returns one count.
func (c Counts) Of(v Verdict) uint64 { return c[v] }

// Dropped is the number of datagrams that changed nothing.
func (c Counts) Dropped() uint64 {
	var n uint64
	for v := Short; v <= BadAuthenticator; v++ {
		n += c[v]
	}
	return n
}

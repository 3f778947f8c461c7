// Package client is one association: what this machine knows about one server
// and says to it. It decides when to poll, builds the request, judges whatever
// comes back and turns what stands the test into a measurement.
//
// An association has no socket and no clock. It is told the time and what
// arrived, and says what to send and what was learned. It belongs to one
// goroutine.
//
// What it defends:
//
//   - The transmit field of a request is 64 random bits, not the time, and a
//     reply must repeat it (RFC 5905 section 8, "bogus packet"; RFC 9109 asks
//     for the random port, which is the shell's part). Nothing else in a
//     request tells one client from another.
//   - At most one exchange is in flight and one reply to it is accepted, so a
//     replay or a duplicate finds nothing to match.
//   - With Network Time Security a packet that does not authenticate changes
//     nothing. The one exception is remembered and not acted on: an NTS NAK
//     that echoes the request's unique identifier counts only when the
//     exchange ends without an authentic reply (RFC 8915 section 5.7).
//   - Without it, a kiss code also waits for the end of its exchange. Who
//     sends a kiss sends no time; so a time reply to the same request proves
//     that the kiss was forged by someone who can read but not stop packets.
package client

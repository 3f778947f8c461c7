// Package ke runs the NTS key exchange of RFC 8915 over TLS: [Client] for a
// time client (and for a pool that speaks to its members), [Server] for a time
// server, and [Front], the part that [Server] shares with a pool: it accepts
// connections, bounds them in number and time, and enforces TLS 1.3 and the
// application protocol.
//
// The messages themselves are in package nts. This package logs nothing; what
// happened is reported as an [Outcome] or as an [Error].
package ke

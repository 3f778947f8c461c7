// Package lookup asks DNS who exchanges keys for a domain: the SRV records of
// _ntske._tcp below it. They replace the name that a certificate is checked for,
// so they are worth something only if DNSSEC secures them. It validates nothing
// itself: it takes the word of a resolver that is trusted, with the way to it,
// which is that the AD bit is set (RFC 4035 section 3.2.3).
package lookup

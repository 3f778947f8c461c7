// Package nts is the message format and the negotiation of the Network Time
// Security key establishment protocol (NTS-KE, RFC 8915 section 4), together
// with the records by which a pool of time servers asks its members for
// cookies (draft-ietf-ntp-nts-keyexchange-pool and its predecessors).
//
// The package is pure: it turns octets into values and values into octets,
// and decides what a server answers. TLS, sockets and deadlines are in nts/ke,
// the pool's choice of a member is in nts/pool.
//
// A message is a sequence of records that ends with End of Message. Decoding
// is strict: what RFC 8915 says MUST be so is checked, and every length is
// bounded by the message. Two errors matter to a server, because they decide
// which error code it answers: [ErrUnrecognizedCritical] and [ErrMalformed];
// [CodeOf] tells which.
package nts

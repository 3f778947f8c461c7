// Package proto is the vocabulary of the Network Time Protocol: timestamps
// and durations, the packet header, extension fields, the fields of Network
// Time Security, reference identifiers and kiss codes.
//
// It is pure. Nothing here reads a clock, touches a network or keeps state,
// so the same values serve the daemon, the simulator and the tools. The wire
// formats are those of RFC 5905 (version 4; version 3 shares the header),
// RFC 7822 (extension fields) and RFC 8915 (Network Time Security).
package proto

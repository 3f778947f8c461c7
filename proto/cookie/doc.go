// Package cookie is both ends of the NTS cookie (RFC 8915 sections 5.4 and 6):
// the Keyset under which a server seals the keys of an association into a
// cookie and opens it again, and the Jar in which a client keeps cookies that
// it cannot read.
//
// Cookies and the key file have the layout of ntpd-rs, so that a server that
// changes from one daemon to the other opens the cookies its clients hold.
//
// The package is pure: entropy and the time come in as arguments. A Keyset
// never changes, so any number of goroutines may hold the same one; Rotate
// makes the next.
package cookie

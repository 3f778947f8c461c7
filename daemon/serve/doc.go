// Package serve runs NTP server workers: it joins a socket, the clock and a
// server.Responder. Workers share nothing that changes; what is known about
// the time and the cookie keys reach them as immutable values behind atomic
// pointers. Packets are counted and never logged.
package serve

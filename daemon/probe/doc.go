// Package probe asks time servers and key-exchange servers once and says what
// came of it: for the tools that diagnose, not for the daemon that steers. It
// needs no privilege and no daemon, and it runs wherever Go does: timestamps
// are read around the system calls, so that an offset is good to some tens of
// microseconds.
//
// What goes wrong is a Verdict, not an error: to find out what goes wrong is
// what a probe is for.
package probe

// Package doctor finds out why a time daemon does not do what its operator
// expects. Each check measures something of this machine or of the network,
// compares it with what it ought to be, and says how to mend it.
//
// The checks go in the order of causes: what is first in a report and not OK
// is what the rest may follow from. Nothing is changed on the machine: the
// kernel's clock is read, never set, no port is kept, and the daemon need not
// run.
package doctor

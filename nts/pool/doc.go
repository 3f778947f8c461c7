// Package pool is the broker behind nts-pool-ke: a key-exchange server that
// has no NTP server of its own. For every client it picks one of its time
// sources, asks that source for cookies that hold the client's keys, and gives
// them to the client, who then speaks to the source directly.
//
// The rule of the house is that the keys of a client go to at most one time
// source. Up to the moment in which they are sent, another source may be
// picked for any reason; from then on the source that has them must answer.
// The type handover is that rule.
package pool

// Package daemon is the imperative shell around the pure core: the loop that
// owns the engine and performs its actions, the servers, the cookie keys and
// the observation socket. It decides nothing about time; it carries events in
// and actions out.
package daemon

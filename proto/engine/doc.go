// Package engine is the whole client side of the daemon as one value. What
// happens in the world goes in as an Event, what is to be done comes out as an
// ordered list of Actions, and time is an argument. The daemon's loop and the
// simulator drive the same engine.
//
// Events and actions are plain values: each marshals to one line of JSON, so
// that a run can be recorded and replayed.
package engine

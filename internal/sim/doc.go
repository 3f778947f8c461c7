// Package sim is a deterministic discrete-event simulator of clocks, links and
// time servers around the daemon's engine. The engine sees datagrams, stamps
// and its own wrong clock, as in the daemon; the simulator alone knows the
// true time.
//
// A Scenario is a file: a world, how long to run it, and limits that the
// clock has to keep. The same scenario and seed give the same run on every
// machine.
package sim

// Command load measures NTP servers: how much processor time a request costs
// them, how long an answer takes, how much memory they hold. It sends only to
// loopback addresses, for a bounded time, and checks every answer.
//
//	go run ./test/load -server 127.0.0.1:123 -pid 4711          # one server that runs
//	go run ./test/load                                          # ours and chrony, alternating (root)
//
// Without -server it starts this project's ntp-daemon (make build) and chrony,
// each in a network namespace of its own, and measures them in turns, so that
// what else the machine does meets them alike. Servers and generator have a
// processor each. Processor time is that of all threads of a server and of the
// processes it started (/proc/PID/task/TID/schedstat). It says more than rates
// do, which depend on the generator; only ratios of one run say something about
// another machine.
package main

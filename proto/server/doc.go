// Package server answers NTP requests. It has no socket: a request is a value
// with the addresses it came from and went to, and the answer is appended to
// the caller's buffer, so that UDP sockets, a simulator or a fuzzer drive the
// same code. Answering a plain request allocates nothing, and an answer is
// never longer than its request.
package server

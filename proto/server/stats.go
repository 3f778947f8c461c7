package server

import "sync/atomic"

// Stats counts what became of requests, in the categories that ntpd-rs shows.
// Every request is received and exactly one of accepted, denied, ignored, rate
// limited and NAK; the NTS counters count a part of the same requests once
// more.
type Stats struct {
	ReceivedPackets       uint64
	AcceptedPackets       uint64 // answered with the time
	DeniedPackets         uint64 // answered with a DENY kiss
	IgnoredPackets        uint64 // dropped, those over the rate limit excepted
	RateLimitedPackets    uint64 // over the rate limit, dropped or answered with a RATE kiss
	ResponseSendErrors    uint64
	NTSReceivedPackets    uint64 // those that became one of the four below
	NTSAcceptedPackets    uint64
	NTSDeniedPackets      uint64
	NTSRateLimitedPackets uint64 // always 0: the limit is applied before NTS is looked at
	NTSNakPackets         uint64
}

// Counters counts the verdicts of one worker. One goroutine counts, any may
// read; nothing is shared between workers while counting, so that they do not
// slow each other down.
type Counters struct {
	_          [64]byte // keeps neighbours off our cache lines
	verdict    [verdicts]atomic.Uint64
	sendErrors atomic.Uint64
	_          [64]byte
}

// Count adds one request.
func (c *Counters) Count(v Verdict) { c.verdict[v].Add(1) }

// SendError adds responses that could not be sent.
func (c *Counters) SendError(n int) { c.sendErrors.Add(uint64(n)) }

// Verdict returns how often there was this verdict.
func (c *Counters) Verdict(v Verdict) uint64 { return c.verdict[v].Load() }

// AddTo adds what this worker counted to a sum over workers.
func (c *Counters) AddTo(s *Stats) {
	s.ResponseSendErrors += c.sendErrors.Load()
	for i := range c.verdict {
		v, n := Verdict(i), c.verdict[i].Load()
		s.ReceivedPackets += n
		switch v {
		case Accepted:
			s.AcceptedPackets += n
		case AcceptedNTS:
			s.AcceptedPackets += n
			s.NTSReceivedPackets += n
			s.NTSAcceptedPackets += n
		case Denied:
			s.DeniedPackets += n
		case DeniedNTS:
			s.DeniedPackets += n
			s.NTSReceivedPackets += n
			s.NTSDeniedPackets += n
		case NAKed:
			s.NTSReceivedPackets += n
			s.NTSNakPackets += n
		case RateKissed, RateLimited:
			s.RateLimitedPackets += n
		case Refused, NTSRequired, WrongTarget, Malformed, WrongMode, WrongVersion, NoKeys, NoTime, Failed:
			s.IgnoredPackets += n
		}
	}
}

package observe

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
)

// WritePlain prints the state in the layout of ntpd-rs' `ntp-ctl status`,
// octet for octet, for whoever parses that; but names and addresses are lines
// that do nothing to a terminal.
func WritePlain(w io.Writer, s *State) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "Synchronization status:\n")
	fmt.Fprintf(b, "\tDispersion:\t%.6fs\n", s.System.Dispersion(s.Program.Now))
	fmt.Fprintf(b, "\tDelay:\t\t%.6fs\n", s.System.RootDelay)
	fmt.Fprintf(b, "\tStratum:\t%d\n", s.System.Stratum)
	fmt.Fprintf(b, "\n\nSources:\n")
	for _, src := range sortedSources(s.Sources) {
		plainSource(b, &src)
	}
	if len(s.Servers) > 0 {
		fmt.Fprintf(b, "\n\nServers:\n")
	}
	for _, srv := range sortedServers(s.Servers) {
		plainServer(b, &srv)
	}
	return b.Flush()
}

func plainSource(b *bufio.Writer, s *Source) {
	nts := ""
	if s.NTSCookies != nil {
		nts = " [NTS]"
	}
	fmt.Fprintf(b, "\n%s %s%s (%d)\n", line(s.Name), line(s.Address), nts, s.ID)
	fmt.Fprintf(b, "\tOffset:\t\t\t%+.6f\n", s.Offset)
	fmt.Fprintf(b, "\tUncertainty:\t\t±%.6f\n", s.Uncertainty)
	fmt.Fprintf(b, "\tDelay:\t\t\t±%.6f\n", s.Delay)
	fmt.Fprintf(b, "\tPoll interval:\t\t%.0fs\n", math.Ldexp(1, int(s.PollInterval)))
	fmt.Fprintf(b, "\tMissing polls:\t\t%d\n", s.UnansweredPolls)
	fmt.Fprintf(b, "\tRoot dispersion:\t%.6fs\n", s.RemoteUncertainty)
	fmt.Fprintf(b, "\tRoot delay:\t\t%.6fs\n", s.RemoteDelay)
	if s.NTSCookies != nil {
		fmt.Fprintf(b, "\tNTS cookies:\t\t%d/8 available\n", *s.NTSCookies)
	}
}

func plainServer(b *bufio.Writer, s *Server) {
	t := &s.Stats
	fmt.Fprintf(b, "\n%s\n", line(s.Address))
	fmt.Fprintf(b, "\tIgnored\t\t\t%d\n", t.IgnoredPackets)
	fmt.Fprintf(b, "\tResponse send errors\t%d\n", t.ResponseSendErrors)
	fmt.Fprintf(b, "\tNTS NAK\t\t\t%d\n", t.NTSNakPackets)
	fmt.Fprintf(b, "\tReceived\t\t%d\n", t.ReceivedPackets)
	fmt.Fprintf(b, "\tAccepted\t\t%d\n", t.AcceptedPackets)
	fmt.Fprintf(b, "\tDenied\t\t\t%d\n", t.DeniedPackets)
	fmt.Fprintf(b, "\tRate limited\t\t%d\n", t.RateLimitedPackets)
	fmt.Fprintf(b, "\tNTS Received\t\t%d\n", t.NTSReceivedPackets)
	fmt.Fprintf(b, "\tNTS Accepted\t\t%d\n", t.NTSAcceptedPackets)
	fmt.Fprintf(b, "\tNTS Denied\t\t%d\n", t.NTSDeniedPackets)
	fmt.Fprintf(b, "\tNTS Rate limited\t%d\n", t.NTSRateLimitedPackets)
	fmt.Fprintf(b, "\n")
}

func sortedSources(in []Source) []Source {
	return slices.SortedFunc(slices.Values(in), func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

func sortedServers(in []Server) []Server {
	return slices.SortedFunc(slices.Values(in), func(a, b Server) int { return cmp.Compare(a.Address, b.Address) })
}

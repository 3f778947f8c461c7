package server

import "testing"

// TestStats: every verdict counts as received and in exactly one category.
func TestStats(t *testing.T) {
	category := map[Verdict]Stats{
		Accepted:     {AcceptedPackets: 1},
		AcceptedNTS:  {AcceptedPackets: 1, NTSReceivedPackets: 1, NTSAcceptedPackets: 1},
		Denied:       {DeniedPackets: 1},
		DeniedNTS:    {DeniedPackets: 1, NTSReceivedPackets: 1, NTSDeniedPackets: 1},
		NAKed:        {NTSReceivedPackets: 1, NTSNakPackets: 1},
		RateKissed:   {RateLimitedPackets: 1},
		RateLimited:  {RateLimitedPackets: 1},
		Refused:      {IgnoredPackets: 1},
		NTSRequired:  {IgnoredPackets: 1},
		WrongTarget:  {IgnoredPackets: 1},
		Malformed:    {IgnoredPackets: 1},
		WrongMode:    {IgnoredPackets: 1},
		WrongVersion: {IgnoredPackets: 1},
		NoKeys:       {IgnoredPackets: 1},
		NoTime:       {IgnoredPackets: 1},
		Failed:       {IgnoredPackets: 1},
	}
	seen := map[string]bool{}
	for _, v := range Verdicts() {
		var c Counters
		var got Stats
		c.Count(v)
		c.AddTo(&got)
		want, ok := category[v]
		want.ReceivedPackets = 1
		if !ok || got != want {
			t.Errorf("%v: %+v, want %+v", v, got, want)
		}
		if c.Verdict(v) != 1 {
			t.Errorf("%v counted %d times", v, c.Verdict(v))
		}
		if name := v.String(); name == "" || name == "invalid" || seen[name] {
			t.Errorf("verdict %d is called %q", v, name)
		}
		seen[v.String()] = true
	}
	if Verdict(verdicts).String() != "invalid" {
		t.Error("there are more verdicts than known")
	}
}

// TestStatsSumOverWorkers: the counters of several workers add up.
func TestStatsSumOverWorkers(t *testing.T) {
	workers := make([]Counters, 2)
	workers[0].Count(Accepted)
	workers[1].Count(Accepted)
	workers[1].Count(Malformed)
	workers[0].SendError(2)
	workers[1].SendError(1)
	var got Stats
	for i := range workers {
		workers[i].AddTo(&got)
	}
	if want := (Stats{ReceivedPackets: 3, AcceptedPackets: 2, IgnoredPackets: 1, ResponseSendErrors: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Package assemble makes the engine's configuration of an ntp.toml. The daemon
// and the simulator both use it, so that what is simulated is what runs.
package assemble

import (
	"encoding/binary"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Engine translates the configuration into what the engine knows.
func Engine(c *config.Config) engine.Config {
	sync := &c.Synchronization
	out := engine.Config{
		LocalStratum: sync.LocalStratum,
		ReferenceID:  proto.RefID(binary.BigEndian.Uint32(sync.ReferenceID[:])),
		Steering:     len(c.Sources) > 0,
		WarnOnJump:   sync.WarnOnJump,

		Watchdog: watchdog(sync),

		BoundedColdStart: sync.NTSColdStart == config.ColdStartBounded,
		KeepSessions:     sync.NTSStatePath != "",

		Discipline: discipline(sync),
	}
	for i := range c.Sources {
		out.Sources = append(out.Sources, source(&c.Sources[i]))
	}
	return out
}

func source(s *config.Source) engine.Source {
	return engine.Source{
		Name:      s.Address.String(),
		Mode:      engine.Mode(s.Mode.String()),
		Host:      s.Address.Host,
		Port:      s.Address.Port,
		Count:     s.Count,
		Ignore:    s.Ignore,
		Authority: s.CertificateAuthority,
		SRV:       s.SRVResolution,
		Route:     engine.Route{Proxy: s.Proxy.String()},
		PollMin:   s.Poll.Min,
		PollMax:   s.Poll.Max,
		PollStart: s.Poll.Initial,
	}
}

func discipline(s *config.Synchronization) kalman.Config {
	a := &s.Algorithm
	return kalman.Config{
		MinimumAgreeing:  max(s.MinimumAgreeingSources, 1),
		SingleStep:       threshold(s.SingleStepPanic),
		StartupStep:      threshold(s.StartupStepPanic),
		AccumulatedSteps: Accumulated(s.AccumulatedStepPanic),
		LocalStratum:     s.LocalStratum,
		Trust:            trust[s.NTSSelection],
		Algorithm: kalman.Algorithm{
			StepThreshold:             a.StepThreshold,
			SlewMaximumFrequency:      a.SlewMaximumFrequencyOffset,
			SlewMinimumDuration:       a.SlewMinimumDuration,
			MaximumFrequencySteer:     a.MaximumFrequencySteer,
			MaximumSourceUncertainty:  a.MaximumSourceUncertainty,
			InitialFrequencyUncertain: a.InitialFrequencyUncertainty,
			InitialWander:             a.InitialWander,
			MeddlingThreshold:         a.MeddlingThreshold,
			RangeStatisticalWeight:    a.RangeStatisticalWeight,
			RangeDelayWeight:          a.RangeDelayWeight,
			IgnoreServerDispersion:    a.IgnoreServerDispersion,
		},
	}
}

func watchdog(s *config.Synchronization) engine.Watchdog {
	if s.WatchdogPool == "" {
		return engine.Watchdog{}
	}
	return engine.Watchdog{Host: s.WatchdogPool, Port: 123, Hold: s.WatchdogHold}
}

// trust is what the values of nts-selection mean to the discipline.
var trust = map[config.NTSSelection]kalman.Trust{
	config.NTSOutvotes: kalman.TrustOutvotes, config.NTSRequired: kalman.TrustRequired, config.NTSEqual: kalman.TrustIgnored,
}

func threshold(l config.StepLimit) kalman.Threshold {
	return kalman.Threshold{Forward: limit(l.Forward), Backward: limit(l.Backward)}
}

// limit converts a panic threshold. NTP time reaches no further than 68
// years, so what is beyond is no limit.
func limit(d time.Duration) proto.Duration {
	if d == config.Unlimited || d > proto.MaxDuration.Std() {
		return proto.MaxDuration
	}
	return proto.FromStd(d)
}

// Accumulated converts the threshold of accumulated steps, where 0 is none.
func Accumulated(d time.Duration) proto.Duration {
	if d == config.Unlimited {
		return 0
	}
	return limit(d)
}

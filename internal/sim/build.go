package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// build makes the engine's configuration from an ntp.toml.
func build(toml string) (engine.Config, error) {
	c, problems := config.Parse("ntp.toml", []byte(toml))
	if len(problems) > 0 {
		return engine.Config{}, fmt.Errorf("ntp.toml: %w", problems[0])
	}
	s := &c.Synchronization
	a := &s.Algorithm
	out := engine.Config{
		LocalStratum: s.LocalStratum,
		ReferenceID:  proto.RefID(binary.BigEndian.Uint32(s.ReferenceID[:])),
		Steering:     len(c.Sources) > 0,
		Discipline: kalman.Config{
			MinimumAgreeing:  max(s.MinimumAgreeingSources, 1),
			SingleStep:       kalman.Threshold{Forward: limit(s.SingleStepPanic.Forward), Backward: limit(s.SingleStepPanic.Backward)},
			StartupStep:      kalman.Threshold{Forward: limit(s.StartupStepPanic.Forward), Backward: limit(s.StartupStepPanic.Backward)},
			AccumulatedSteps: limit(s.AccumulatedStepPanic),
			LocalStratum:     s.LocalStratum,
			Algorithm: kalman.Algorithm{
				StepThreshold: a.StepThreshold, SlewMaximumFrequency: a.SlewMaximumFrequencyOffset, SlewMinimumDuration: a.SlewMinimumDuration,
				MaximumFrequencySteer: a.MaximumFrequencySteer, MaximumSourceUncertainty: a.MaximumSourceUncertainty,
				InitialFrequencyUncertain: a.InitialFrequencyUncertainty, InitialWander: a.InitialWander,
			},
		},
	}
	for i := range c.Sources {
		x := &c.Sources[i]
		out.Sources = append(out.Sources, engine.Source{
			Name: x.Address.String(), Mode: engine.Mode(x.Mode.String()), Host: x.Address.Host, Port: x.Address.Port, Count: x.Count,
			PollMin: x.Poll.Min, PollMax: x.Poll.Max, PollStart: x.Poll.Initial,
		})
	}
	return out, nil
}

func limit(d time.Duration) proto.Duration {
	if d == config.Unlimited || d > proto.MaxDuration.Std() {
		return proto.MaxDuration
	}
	return proto.FromStd(d)
}

package config

// CSPTP is [csptp] of ntpd-rs 2.0. Its keys are known so that a file that has them says what is missing; none of them
// matters without a [[csptp-server]], which this version refuses.
type CSPTP struct {
	Table
	Identity           string
	Priority1          uint8
	Priority2          uint8
	PTPTimescale       bool
	TimeTraceable      bool
	FrequencyTraceable bool

	quality *value
}

// A CSPTPServer is one [[csptp-server]] of ntpd-rs 2.0.
type CSPTPServer struct {
	Table
	Interface string
}

const noCSPTP = "client-server PTP is not built yet; the key has no effect"

var csptpTable = table[CSPTP]{keys: []*key[CSPTP]{
	val("identity", text("clock identity"), func(c *CSPTP) *string { return &c.Identity }, "identity of the clock").unset("none").unbuilt(EffectNone, noCSPTP, always[CSPTP]),
	val("priority_1", whole[uint8](0, 255), func(c *CSPTP) *uint8 { return &c.Priority1 }, "first priority").otherwise("128").unbuilt(EffectNone, noCSPTP, always[CSPTP]),
	val("priority_2", whole[uint8](0, 255), func(c *CSPTP) *uint8 { return &c.Priority2 }, "second priority").otherwise("128").unbuilt(EffectNone, noCSPTP, always[CSPTP]),
	val("clock_quality", anything, func(c *CSPTP) **value { return &c.quality }, "quality of the clock").unset("none").unbuilt(EffectNone, noCSPTP, always[CSPTP]),
	val("ptp_timescale", boolean, func(c *CSPTP) *bool { return &c.PTPTimescale }, "serve the PTP timescale").otherwise("true").unbuilt(EffectNone, noCSPTP, always[CSPTP]),
	val("time_traceable", boolean, func(c *CSPTP) *bool { return &c.TimeTraceable }, "time is traceable").otherwise("false").unbuilt(EffectNone, noCSPTP, always[CSPTP]),
	val("frequency_traceable", boolean, func(c *CSPTP) *bool { return &c.FrequencyTraceable }, "frequency is traceable").otherwise("false").unbuilt(EffectNone, noCSPTP, always[CSPTP]),
}}

var csptpServerTable = table[CSPTPServer]{keys: []*key[CSPTPServer]{
	val("interface", same("any"), func(c *CSPTPServer) *string { return &c.Interface }, "where to serve").must(),
}}

var anything = kind[*value]{"anything", func(d *decoder, path string, v *value) (*value, bool) { return v, true }}

package config

import (
	"math"
	"net/netip"
	"strings"
	"time"
)

// The default ports of RFC 5905, RFC 8915 and RFC 1928.
const (
	PortNTP   = 123
	PortNTSKE = 4460
	PortSOCKS = 1080
)

// A Version says which NTP to speak to a source.
type Version uint8

// The versions of a source.
const (
	Version4    Version = 4
	Version5    Version = 5
	VersionAuto Version = 255 // 5 where the other end offers it, else 4
)

// A Source is one [[source]]. Which fields matter depends on the mode.
type Source struct {
	Table
	Mode Mode

	// Modes server, pool, nts and nts-pool.
	Address    Address // with the default port of the mode filled in
	NTPVersion Version
	Poll       Poll

	Count  int          // pool, nts-pool: how many sources to keep
	Ignore []netip.Addr // pool: addresses not to use

	CertificateAuthority string // nts, nts-pool: file of roots besides the system's; may be empty
	SRVResolution        bool   // nts, nts-pool

	Proxy Proxy // server, nts and nts-pool

	// Modes sock, pps and phc. Seconds.
	Path      string
	Precision float64 // one standard deviation
	Accuracy  float64
	Period    float64 // pps

	// Mode csptp.
	Domain           uint8
	PollInterval     time.Duration
	ResponseInterval time.Duration

	limits  pollLimits
	initial *int8
	noise   *float64
}

// Proxy is a SOCKS5 proxy by which everything to a source goes.
type Proxy struct {
	Address  Address // empty without a proxy
	User     string  // may be empty
	Password Secret
}

// String is HOST:PORT or USER@HOST:PORT, or empty without a proxy.
func (p Proxy) String() string {
	switch {
	case p.Address.Host == "":
		return ""
	case p.User == "":
		return p.Address.String()
	default:
		return p.User + "@" + p.Address.String()
	}
}

// Poll bounds the time between requests to a source: exponents of two, in seconds, with Min ≤ Initial ≤ Max.
type Poll struct{ Min, Max, Initial int8 }

// SourceDefaults is [source-defaults].
type SourceDefaults struct {
	Table
	Poll Poll

	limits  pollLimits
	initial *int8
}

// pollLimits are poll-interval-limits as written.
type pollLimits struct {
	Table
	min, max *int8
}

// RFC 5905 section 7.2 ends at MAXPOLL 17, 36 hours. Below one second there is no polling.
var exponent = opt(whole[int8](0, 17))

var (
	overNTP  = []Mode{ModeServer, ModePool, ModeNTS, ModeNTSPool}
	overNTS  = []Mode{ModeNTS, ModeNTSPool}
	byProxy  = []Mode{ModeServer, ModeNTS, ModeNTSPool}
	aDevice  = []Mode{ModeSock, ModePPS, ModePHC}
	pollMin  = func(l *pollLimits) **int8 { return &l.min }
	pollMax  = func(l *pollLimits) **int8 { return &l.max }
	someTree = table[pollLimits]{keys: []*key[pollLimits]{
		val("min", exponent, pollMin, "shortest time between requests, as a power of two in seconds").unset("from [source-defaults]"),
		val("max", exponent, pollMax, "longest time between requests").unset("from [source-defaults]"),
	}}
	bothTree = table[pollLimits]{keys: []*key[pollLimits]{
		val("min", exponent, pollMin, "shortest time between requests, as a power of two in seconds").must(),
		val("max", exponent, pollMax, "longest time between requests").must(),
	}}
)

var sourceDefaultsTable = table[SourceDefaults]{keys: []*key[SourceDefaults]{
	sub("poll-interval-limits", &bothTree, func(s *SourceDefaults) *pollLimits { return &s.limits },
		"the range of the time between requests").otherwise("{ min = 4, max = 10 }").once("poll-limits"),
	val("initial-poll-interval", exponent, func(s *SourceDefaults) **int8 { return &s.initial },
		"time between the first requests").otherwise("4").once("initial-poll"),
}}

var sourceTable = table[Source]{moded: true, keys: []*key[Source]{
	val("mode", modes, func(s *Source) *Mode { return &s.Mode }, "the kind of source").must().
		unbuilt(EffectSteered, "sources of a local device (sock, pps, phc) are not built yet; remove the source", func(s *Source) bool { return setOf(aDevice...).has(s.Mode) }).
		unbuilt(EffectSteered, "client-server PTP is not built yet; remove the source", func(s *Source) bool { return s.Mode == ModeCSPTP }),
	val("address", peer, func(s *Source) *Address { return &s.Address },
		"whom to ask; the port is 123, or 4460 for nts and nts-pool, unless written").must().
		only(ModeServer, ModePool, ModeNTS, ModeNTSPool, ModeCSPTP).once("addr", "ke-addr"),
	val("count", whole[int](0, 255), func(s *Source) *int { return &s.Count },
		"how many sources to keep in use").only(ModePool, ModeNTSPool).otherwise("4").once("max-peers"),
	val("ignore", many(ip), func(s *Source) *[]netip.Addr { return &s.Ignore },
		"addresses never to use").only(ModePool).otherwise("[]"),
	val("certificate-authority", filePath, func(s *Source) *string { return &s.CertificateAuthority },
		"PEM file of certificate authorities to trust besides the system's").only(overNTS...).
		unset("the system's only").once("certificates"),
	val("enable-srv-resolution", boolean, func(s *Source) *bool { return &s.SRVResolution },
		"find key exchange servers by SRV records that DNSSEC secures").only(overNTS...).otherwise("false"),
	val("proxy", peer, func(s *Source) *Address { return &s.Proxy.Address },
		"SOCKS5 proxy by which all goes that is for this source, names included; it must relay UDP. The port is 1080 unless written").
		only(byProxy...).unset("none").differs("not a key", "proxy"),
	val("proxy-user", userName, func(s *Source) *string { return &s.Proxy.User },
		"user that the proxy knows").only(byProxy...).unset("no password").differs("not a key", "proxy"),
	val("proxy-password", secret, func(s *Source) *Secret { return &s.Proxy.Password },
		"password of that user").only(byProxy...).unset("no password").differs("not a key", "proxy"),
	val("ntp-version", versions, func(s *Source) *Version { return &s.NTPVersion },
		"the version of NTP to speak").only(overNTP...).otherwise("4").
		unbuilt(EffectAsked, `NTPv5 is not built yet; write 4 or "auto"`, func(s *Source) bool { return s.NTPVersion == Version5 }).
		unbuilt(EffectNone, `NTPv5 is not built yet, so "auto" settles on 4 with every server`, func(s *Source) bool { return s.NTPVersion == VersionAuto }),
	sub("poll-interval-limits", &someTree, func(s *Source) *pollLimits { return &s.limits },
		"the range of the time between requests").only(overNTP...),
	val("initial-poll-interval", exponent, func(s *Source) **int8 { return &s.initial },
		"time between the first requests").only(overNTP...).unset("from [source-defaults]"),
	val("path", filePath, func(s *Source) *string { return &s.Path },
		"the socket or device").must().only(aDevice...),
	val("precision", positive, func(s *Source) *float64 { return &s.Precision },
		"noise of the source: one standard deviation in seconds").only(aDevice...).unset("required"),
	val("measurement_noise_estimate", opt(positive), func(s *Source) **float64 { return &s.noise },
		"older form of precision: its square").only(ModeSock, ModePPS).unset("use precision"),
	val("accuracy", positive, func(s *Source) *float64 { return &s.Accuracy },
		"how far the source may be off as a whole, in seconds").only(aDevice...).unset("0"),
	val("period", positive, func(s *Source) *float64 { return &s.Period },
		"seconds between pulses").only(ModePPS).otherwise("1.0"),
	val("domain", whole[uint8](128, 239), func(s *Source) *uint8 { return &s.Domain },
		"PTP domain").only(ModeCSPTP).otherwise("128"),
	val("poll_interval", span, func(s *Source) *time.Duration { return &s.PollInterval },
		"seconds between requests").only(ModeCSPTP).otherwise("1"),
	val("response_interval", span, func(s *Source) *time.Duration { return &s.ResponseInterval },
		"seconds to wait for a response").only(ModeCSPTP).otherwise("5"),
}}

var modes = kind[Mode]{`"server", "pool", "nts", "nts-pool", "sock", "pps", "phc" or "csptp"`, func(d *decoder, path string, v *value) (Mode, bool) {
	if v.kind != stringValue {
		d.mismatch(path, v, "the name of a mode", "write it in quotes")
		return 0, false
	}
	m, ok := modeNamed(v.text)
	if !ok {
		d.problem(v.pos, path, quoted(v.text)+" is not a kind of source", nearestMode(v.text))
	}
	return m, ok
}}

func nearestMode(s string) string {
	best, limit := "", 3
	for m := ModeServer; m <= ModeCSPTP; m++ {
		if n := distance(s, m.String(), limit-1); n < limit {
			best, limit = m.String(), n
		}
	}
	if best != "" && len(s) > 2 {
		return `did you mean "` + best + `"?`
	}
	return "write one of " + quotedModes((setOf(overNTP...) | setOf(aDevice...) | setOf(ModeCSPTP)).list())
}

// versions reads 4, 5 or "auto".
var versions = kind[Version]{`4, 5 or "auto"`, func(d *decoder, path string, v *value) (Version, bool) {
	switch {
	case v.kind == integerValue && (v.integer == 4 || v.integer == 5):
		return Version(v.integer), true
	case v.kind == stringValue && v.text == "auto":
		return VersionAuto, true
	}
	d.mismatch(path, v, `4, 5 or "auto"`, "")
	return 0, false
}}

// resolvePoll works out the range of one source from what is written there and what is inherited.
func (d *decoder) resolvePoll(t *Table, path string, limits *pollLimits, initial *int8, inherited Poll) Poll {
	p := inherited
	if limits.min != nil {
		p.Min = *limits.min
	}
	if limits.max != nil {
		p.Max = *limits.max
	}
	if initial != nil {
		p.Initial = *initial
	}
	if p.Min > p.Max {
		d.problem(t.At("poll-interval-limits"), path+".poll-interval-limits",
			"min is "+itoa(p.Min)+" but max is "+itoa(p.Max), "min must not be above max; what is not written here comes from [source-defaults]")
		return p
	}
	if fitted := min(max(p.Initial, p.Min), p.Max); fitted != p.Initial {
		if t.Has("initial-poll-interval") {
			d.warn(t.At("initial-poll-interval"), path+".initial-poll-interval",
				itoa(p.Initial)+" is outside poll-interval-limits; taken as "+itoa(fitted))
		}
		p.Initial = fitted
	}
	return p
}

// resolveProxy wants user and password together, and a proxy for them.
func (d *decoder) resolveProxy(s *Source) {
	if s.Proxy.Address.Host != "" && s.Proxy.Address.Port == 0 {
		s.Proxy.Address.Port = PortSOCKS
	}
	user, password := s.Has("proxy-user"), s.Has("proxy-password")
	switch {
	case (user || password) && !s.Has("proxy"):
		at := "proxy-user"
		if !user {
			at = "proxy-password"
		}
		d.problem(s.At(at), "source."+at, "there is no proxy", "add proxy = \"host:port\", or remove it")
	case user && !password:
		d.problem(s.At("proxy-user"), "source.proxy-user", "has no password", "add proxy-password")
	case password && !user:
		d.problem(s.At("proxy-password"), "source.proxy-password", "has no user", "add proxy-user")
	}
	if s.Proxy.Address.Host != "" && s.SRVResolution {
		d.warn(s.At("enable-srv-resolution"), "source.enable-srv-resolution", "has no effect: SRV records are not looked up through a proxy")
	}
}

// userName reads the name of a user as SOCKS5 can carry it.
var userName = kind[string]{"string", func(d *decoder, path string, v *value) (string, bool) {
	s, ok := text("the name of a user").read(d, path, v)
	if ok && (s == "" || len(s) > 255 || strings.ContainsAny(s, "@\x00")) {
		d.problem(v.pos, path, "is no name of a user", "write 1 to 255 octets without @")
		return "", false
	}
	return s, ok
}}

// resolveSource fills in what depends on more than one key.
func (d *decoder) resolveSource(s *Source, defaults Poll) {
	if setOf(overNTP...).has(s.Mode) {
		s.Poll = d.resolvePoll(&s.Table, "source", &s.limits, s.initial, defaults)
		if s.Address.Port == 0 && s.Address.Host != "" {
			s.Address.Port = PortNTP
			if setOf(overNTS...).has(s.Mode) {
				s.Address.Port = PortNTSKE
			}
		}
		if _, err := netip.ParseAddr(s.Address.Host); err == nil && s.SRVResolution {
			d.warn(s.At("enable-srv-resolution"), "source.enable-srv-resolution", "has no effect: "+quoted(s.Address.Host)+" is an address, and only domains have SRV records")
		}
	}
	d.resolveProxy(s)
	if !setOf(aDevice...).has(s.Mode) || s.Mode == 0 {
		return
	}
	switch {
	case s.noise != nil && s.Has("precision"):
		d.problem(s.At("measurement_noise_estimate"), "source.measurement_noise_estimate",
			"says the same as precision at line "+itoa(s.At("precision").Line), "keep only precision")
	case s.noise != nil:
		s.Precision = math.Sqrt(*s.noise)
		d.warn(s.At("measurement_noise_estimate"), "source.measurement_noise_estimate",
			"is an older form; write precision, its square root")
	case !s.Has("precision"):
		d.problem(s.Pos, "source.precision", "is missing", "add precision = seconds above 0")
	}
}

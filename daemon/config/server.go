package config

import (
	"net/netip"
	"slices"
	"time"
)

// A Server is one [[server]]: an address that NTP is served on.
type Server struct {
	Table
	Listen                netip.AddrPort
	Denylist              AccessList // Action is what happens to clients in it
	Allowlist             AccessList // Action is what happens to clients not in it
	RateLimitingCacheSize int        // clients remembered; zero switches limiting off
	RateLimitingCutoff    time.Duration
	RequireNTS            Requirement
	AcceptNTPVersions     []uint8 // sorted
}

// An AccessList is a set of subnets; IPv4 ones are never written as mapped into IPv6.
type AccessList struct {
	Table
	Filter []netip.Prefix
	Action Action
}

// An Action is how a client is turned away.
type Action uint8

// The actions.
const (
	ActionIgnore Action = iota // no answer
	ActionDeny                 // a DENY kiss
)

// A Requirement says what happens to requests without NTS.
type Requirement uint8

// The requirements.
const (
	RequireNothing Requirement = iota // they are answered
	RequireIgnore                     // they get no answer
	RequireDeny                       // they get a DENY kiss
)

// An NTSKEServer is one [[nts-ke-server]]: an address that NTS keys are handed out on.
type NTSKEServer struct {
	Table
	Listen                netip.AddrPort
	CertificateChainPath  string
	PrivateKeyPath        string
	KeyExchangeTimeout    time.Duration // for one connection as a whole
	ConcurrentConnections int
	LonglivedConnections  int
	NTPPort               uint16 // zero: not told to clients, who take 123
	NTPServer             string // empty: not told to clients, who take the name they connected to
	AcceptNTPVersions     []uint8
	// Either of these lets a pool ask for keys on behalf of its clients.
	AcceptedPoolAuthenticationTokens []Secret
	AuthorizedPoolServerCertificates []string // files

	longlived *int
}

// Bounds of memory rather than of meaning: 2²⁴ slots of the limiter are some hundred megabytes.
const (
	maxRateSlots   = 1 << 24
	maxConnections = 1 << 20
)

var accessTable = table[AccessList]{keys: []*key[AccessList]{
	val("filter", many(subnet), func(l *AccessList) *[]netip.Prefix { return &l.Filter }, "subnets").must(),
	val("action", word(named[Action]{"ignore", ActionIgnore}, named[Action]{"deny", ActionDeny}),
		func(l *AccessList) *Action { return &l.Action }, "no answer, or a DENY kiss").must(),
}}

const noVersion5 = "NTPv5 is not built yet; remove 5 from the list"

var serverTable = table[Server]{keys: []*key[Server]{
	val("listen", socket, func(s *Server) *netip.AddrPort { return &s.Listen },
		"the UDP address to serve on").must().once("addr"),
	sub("denylist", &accessTable, func(s *Server) *AccessList { return &s.Denylist },
		"clients to turn away, and how").otherwise(`{ filter = [], action = "deny" }`),
	sub("allowlist", &accessTable, func(s *Server) *AccessList { return &s.Allowlist },
		"clients to serve, and how to turn away all others").otherwise(`{ filter = ["::/0", "0.0.0.0/0"], action = "ignore" }`),
	val("rate-limiting-cache-size", whole[int](0, maxRateSlots), func(s *Server) *int { return &s.RateLimitingCacheSize },
		"clients remembered for rate limiting; 0 switches it off").otherwise("0"),
	val("rate-limiting-cutoff-ms", scaled("milliseconds", time.Millisecond, 0, 1<<31), func(s *Server) *time.Duration { return &s.RateLimitingCutoff },
		"a client that asks again sooner is limited").otherwise("0"),
	val("require-nts", requirement, func(s *Server) *Requirement { return &s.RequireNTS },
		"what to do with requests without NTS; true is \"ignore\"").otherwise("false"),
	val("accept-ntp-versions", acceptable(3), func(s *Server) *[]uint8 { return &s.AcceptNTPVersions },
		"versions of NTP that are answered").otherwise("[3, 4]").
		unbuilt(EffectServed, noVersion5, func(s *Server) bool { return slices.Contains(s.AcceptNTPVersions, 5) }),
}}

var ntsKETable = table[NTSKEServer]{keys: []*key[NTSKEServer]{
	val("listen", socket, func(s *NTSKEServer) *netip.AddrPort { return &s.Listen },
		"the TCP address to listen on").must().once("key-exchange-listen", "addr"),
	val("certificate-chain-path", filePath, func(s *NTSKEServer) *string { return &s.CertificateChainPath },
		"PEM file: the server's certificate, then its issuers").must().once("cert-chain-path"),
	val("private-key-path", filePath, func(s *NTSKEServer) *string { return &s.PrivateKeyPath },
		"PEM file of the certificate's key, without a passphrase").must().once("key-der-path"),
	val("key-exchange-timeout-ms", scaled("milliseconds", time.Millisecond, 1, 1<<31), func(s *NTSKEServer) *time.Duration { return &s.KeyExchangeTimeout },
		"time for one connection from the first byte to the last").otherwise("1000").once("timeout-ms"),
	val("concurrent-connections", whole[int](1, maxConnections), func(s *NTSKEServer) *int { return &s.ConcurrentConnections },
		"connections served at once").otherwise("512"),
	val("longlived-connections", opt(whole[int](0, maxConnections)), func(s *NTSKEServer) **int { return &s.longlived },
		"connections that authorised pools may keep open").unset("a tenth of concurrent-connections"),
	val("ntp-port", whole[uint16](1, 65535), func(s *NTSKEServer) *uint16 { return &s.NTPPort },
		"NTP port to send clients to").unset("not sent; clients take 123"),
	val("ntp-server", serverName, func(s *NTSKEServer) *string { return &s.NTPServer },
		"NTP server to send clients to").unset("not sent; clients take the host they connected to"),
	val("accept-ntp-versions", acceptable(4), func(s *NTSKEServer) *[]uint8 { return &s.AcceptNTPVersions },
		"versions of NTP that keys are given for").otherwise("[4]").
		unbuilt(EffectServed, noVersion5, func(s *NTSKEServer) bool { return slices.Contains(s.AcceptNTPVersions, 5) }),
	val("accepted-pool-authentication-tokens", many(secret), func(s *NTSKEServer) *[]Secret { return &s.AcceptedPoolAuthenticationTokens },
		"tokens by which pools are authorised").otherwise("[]"),
	val("authorized-pool-server-certificates", many(filePath), func(s *NTSKEServer) *[]string { return &s.AuthorizedPoolServerCertificates },
		"PEM files, one certificate each, of pools that are authorised").otherwise("[]").
		differs("not a key since 1.7", "authorized-pool-server-certificates"),
}}

var requirement = kind[Requirement]{`true, false, "ignore" or "deny"`, func(d *decoder, path string, v *value) (Requirement, bool) {
	switch {
	case v.kind == boolValue && !v.truth:
		return RequireNothing, true
	case v.kind == boolValue, v.kind == stringValue && v.text == "ignore":
		return RequireIgnore, true
	case v.kind == stringValue && v.text == "deny":
		return RequireDeny, true
	}
	d.mismatch(path, v, `true, false, "ignore" or "deny"`, "")
	return 0, false
}}

// acceptable reads a list of NTP versions from the lowest to 5. An empty list would refuse everybody.
func acceptable(lowest int64) kind[[]uint8] {
	k := many(whole[uint8](lowest, 5))
	k.form = "array of " + english([]string{"3", "4", "5"}[lowest-3:], "and")
	read := k.read
	k.read = func(d *decoder, path string, v *value) ([]uint8, bool) {
		vs, ok := read(d, path, v)
		if ok && len(vs) == 0 {
			d.problem(v.pos, path, "accepts no version at all", "write "+k.form)
			return nil, false
		}
		slices.Sort(vs)
		return slices.Compact(vs), ok
	}
	return k
}

// serverName reads a name for the Server record: RFC 8915 section 4.1.7 wants ASCII, an address or a host name.
var serverName = kind[string]{"host name or IP address", func(d *decoder, path string, v *value) (string, bool) {
	s, ok := text("host name or IP address").read(d, path, v)
	if !ok {
		return "", false
	}
	good := len(s) <= 255
	for i := range len(s) {
		good = good && s[i] > ' ' && s[i] < 0x7f && s[i] != '/' && s[i] != '[' && s[i] != ']'
	}
	if _, err := netip.ParseAddr(s); err != nil && slices.Contains([]byte(s), ':') {
		good = false
	}
	if !good {
		d.problem(v.pos, path, quoted(s)+" is not a host name or IP address", "write it without a port and without brackets")
	}
	return s, good
}}

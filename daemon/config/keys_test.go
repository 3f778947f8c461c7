package config

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// everything writes every key that belongs to today's ntp.toml, each with a value that is not its default.
const everything = `
[[source]]
mode = "server"
address = "a.example"
ntp-version = 4
poll-interval-limits = { min = 5, max = 9 }
initial-poll-interval = 6

[[source]]
mode = "pool"
address = "b.example:1123"
count = 3
ignore = ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1"]
poll-interval-limits = { max = 8 }

[[source]]
mode = "nts"
address = "c.example"
certificate-authority = "ca.pem"
enable-srv-resolution = true

[[source]]
mode = "nts-pool"
address = "[2001:db8::7]:4461"
count = 2
ntp-version = "auto"

[[source]]
mode = "sock"
path = "/run/gps.sock"
precision = 1e-3
accuracy = 2e-3

[[source]]
mode = "pps"
path = "/dev/pps0"
precision = 1e-7
period = 2

[[source]]
mode = "phc"
path = "/dev/ptp0"
precision = 1e-8

[[source]]
mode = "csptp"
address = "d.example"
domain = 129
poll_interval = 0.5
response_interval = 2

[source-defaults]
poll-interval-limits = { min = 3, max = 12 }
initial-poll-interval = 7

[[server]]
listen = "[::]:123"
denylist = { filter = ["192.0.2.0/24"], action = "ignore" }
allowlist = { filter = ["10.0.0.0/8", "::ffff:172.16.0.0/108"], action = "deny" }
rate-limiting-cache-size = 1000
rate-limiting-cutoff-ms = 250
require-nts = "deny"
accept-ntp-versions = [4, 3, 4]

[[nts-ke-server]]
listen = "[::]:4460"
certificate-chain-path = "chain.pem"
private-key-path = "key.pem"
key-exchange-timeout-ms = 2500
concurrent-connections = 100
longlived-connections = 3
ntp-port = 1123
ntp-server = "ntp.example"
accept-ntp-versions = [4]
accepted-pool-authentication-tokens = ["open sesame"]
authorized-pool-server-certificates = ["pool.pem", "other.pem"]
[synchronization]
minimum-agreeing-sources = 2
single-step-panic-threshold = "inf"
startup-step-panic-threshold = { backward = 1.5 }
accumulated-step-panic-threshold = 60
local-stratum = 1
reference-id = "GPS"
warn-on-jump = false
update-system-clock = false
state-path = "/var/lib/ntpd-rs/clock"
nts-state-path = "/var/lib/ntpd-rs/nts"
nts-selection = "require"
nts-cold-start = "bounded"
watchdog-pool = "pool.test"
watchdog-action = "hold"
[synchronization.algorithm]
precision-low-probability = 0.1
precision-high-probability = 0.2
precision-hysteresis = 3
precision-minimum-weight = 0.4
poll-interval-low-weight = 0.5
poll-interval-high-weight = 0.6
poll-interval-hysteresis = 7
poll-interval-step-threshold = 0.8
delay-outlier-threshold = inf
initial-wander = 10
initial-frequency-uncertainty = 11
maximum-source-uncertainty = 12
range-statistical-weight = 13
range-delay-weight = 14
steer-offset-threshold = 15
steer-offset-leftover = 16
steer-frequency-threshold = 17
steer-frequency-leftover = 18
step-threshold = 19
slew-maximum-frequency-offset = 20
slew-minimum-duration = 21
maximum-frequency-steer = 22
ignore-server-dispersion = true
meddling-threshold = 24

[observability]
log-level = "trace"
log-path = "/var/log/a"
log-path-metrics-exporter = "/var/log/b"
ansi-colors = true
observation-path = ""
observation-permissions = 0o660
metrics-exporter-listen = "[::1]:9976"
control-path = "/run/x/control"
client-list = "address"
[keyset]
stale-key-count = 8
key-rotation-interval = 3600
key-storage-path = "/var/lib/keys"

[clock]
clock = "/dev/ptp1"
interface = "eth0"
timestamp-mode = "hardware"

[csptp]
identity = "01"
priority_1 = 1
priority_2 = 2
clock_quality = { class = 6 }
ptp_timescale = false
time_traceable = true
frequency_traceable = true

[[csptp-server]]
interface = "any"

[[source]]
mode = "nts"
address = "e.example"
proxy = "localhost"
proxy-user = "me"
proxy-password = "hush"
`

func TestSources(t *testing.T) {
	c := load(t, everything)
	got := slices.Clone(c.Sources)
	for i := range got {
		s := &got[i]
		s.Table, s.limits, s.initial = Table{}, pollLimits{}, nil
	}
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}
	want := []Source{
		{Mode: ModeServer, Address: Address{"a.example", 123}, NTPVersion: 4, Poll: Poll{5, 9, 6}},
		{Mode: ModePool, Address: Address{"b.example", 1123}, NTPVersion: 4, Poll: Poll{3, 8, 7}, Count: 3, Ignore: addrs},
		{Mode: ModeNTS, Address: Address{"c.example", 4460}, NTPVersion: 4, Poll: Poll{3, 12, 7}, CertificateAuthority: "ca.pem", SRVResolution: true},
		{Mode: ModeNTSPool, Address: Address{"2001:db8::7", 4461}, NTPVersion: VersionAuto, Poll: Poll{3, 12, 7}, Count: 2},
		{Mode: ModeSock, Path: "/run/gps.sock", Precision: 1e-3, Accuracy: 2e-3},
		{Mode: ModePPS, Path: "/dev/pps0", Precision: 1e-7, Period: 2},
		{Mode: ModePHC, Path: "/dev/ptp0", Precision: 1e-8},
		{Mode: ModeCSPTP, Address: Address{"d.example", 0}, Domain: 129, PollInterval: 500 * time.Millisecond, ResponseInterval: 2 * time.Second},
		{Mode: ModeNTS, Address: Address{"e.example", 4460}, NTPVersion: 4, Poll: Poll{3, 12, 7}, Proxy: Proxy{Address{"localhost", 1080}, "me", Secret{"hush"}}},
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("source %d is\n%+v\nwant\n%+v", i, got[i], want[i])
		}
	}
}

func TestServers(t *testing.T) {
	c := load(t, everything)
	s := c.Servers[0]
	s.Table, s.Allowlist.Table, s.Denylist.Table = Table{}, Table{}, Table{}
	want := Server{
		Listen:                netip.MustParseAddrPort("[::]:123"),
		Denylist:              AccessList{Filter: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Action: ActionIgnore},
		Allowlist:             AccessList{Filter: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12")}, Action: ActionDeny},
		RateLimitingCacheSize: 1000, RateLimitingCutoff: 250 * time.Millisecond, RequireNTS: RequireDeny, AcceptNTPVersions: []uint8{3, 4},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("server is\n%+v\nwant\n%+v", s, want)
	}
	k := c.NTSKEServers[0]
	k.Table, k.longlived = Table{}, nil
	wantKE := NTSKEServer{
		Listen: netip.MustParseAddrPort("[::]:4460"), CertificateChainPath: "chain.pem", PrivateKeyPath: "key.pem",
		KeyExchangeTimeout: 2500 * time.Millisecond, ConcurrentConnections: 100, LonglivedConnections: 3,
		NTPPort: 1123, NTPServer: "ntp.example", AcceptNTPVersions: []uint8{4},
		AcceptedPoolAuthenticationTokens: []Secret{{"open sesame"}}, AuthorizedPoolServerCertificates: []string{"pool.pem", "other.pem"},
	}
	if !reflect.DeepEqual(k, wantKE) {
		t.Errorf("key exchange is\n%+v\nwant\n%+v", k, wantKE)
	}
}

func TestSynchronization(t *testing.T) {
	s := load(t, everything).Synchronization
	a := s.Algorithm
	s.Table, s.Algorithm, s.minimum, s.accumulated = Table{}, Algorithm{}, nil, nil
	want := Synchronization{
		MinimumAgreeingSources: 2, SingleStepPanic: StepLimit{Unlimited, Unlimited}, StartupStepPanic: StepLimit{Unlimited, 1500 * time.Millisecond},
		AccumulatedStepPanic: time.Minute, LocalStratum: 1, ReferenceID: [4]byte{'G', 'P', 'S', ' '},
		NTSSelection: NTSRequired, NTSColdStart: ColdStartBounded, WatchdogPool: "pool.test", WatchdogHold: true, StatePath: "/var/lib/ntpd-rs/clock",
		NTSStatePath: "/var/lib/ntpd-rs/nts",
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("synchronization is\n%+v\nwant\n%+v", s, want)
	}
	// Every key of the algorithm in the order of the fields, each distinct, so that none lands in another's field.
	v := reflect.ValueOf(a)
	var got []string
	for i := 1; i < v.NumField(); i++ { // after the embedded Table
		if v.Field(i).IsNil() {
			t.Fatalf("%s is not set", v.Type().Field(i).Name)
		}
		got = append(got, fmt.Sprint(v.Field(i).Elem().Interface()))
	}
	if line := strings.Join(got, " "); line != "0.1 0.2 3 0.4 0.5 0.6 7 0.8 +Inf 10 11 12 13 14 15 16 17 18 19 20 21 22 true 24" {
		t.Errorf("the algorithm is %s", line)
	}
	if !a.Has("step-threshold") || a.At("step-threshold") != (Pos{"ntp.toml", 111, 1}) {
		t.Errorf("step-threshold is at %v", a.At("step-threshold"))
	}
}

func TestObservabilityKeysetClock(t *testing.T) {
	c := load(t, everything)
	o, k, l := c.Observability, c.Keyset, c.Clock
	colours := *o.ANSIColors
	o.Table, k.Table, l.Table, o.ANSIColors, o.control = Table{}, Table{}, Table{}, nil, nil
	if want := (Observability{LogLevel: "trace", LogPath: "/var/log/a", LogPathMetricsExporter: "/var/log/b", ObservationPermissions: 0o660,
		MetricsExporterListen: netip.MustParseAddrPort("[::1]:9976"), ControlPath: "/run/x/control", ClientList: ClientsByAddress}); !reflect.DeepEqual(o, want) || !colours {
		t.Errorf("observability is %+v", o)
	}
	if want := (Keyset{StaleKeyCount: 8, KeyRotationInterval: time.Hour, KeyStoragePath: "/var/lib/keys"}); !reflect.DeepEqual(k, want) {
		t.Errorf("keyset is %+v", k)
	}
	if want := (Clock{Path: "/dev/ptp1", Interface: "eth0", TimestampMode: TimestampHardware}); !reflect.DeepEqual(l, want) {
		t.Errorf("clock is %+v", l)
	}
	p := c.CSPTP
	p.Table, p.quality = Table{}, nil
	if want := (CSPTP{Identity: "01", Priority1: 1, Priority2: 2, TimeTraceable: true, FrequencyTraceable: true}); !reflect.DeepEqual(p, want) {
		t.Errorf("csptp is %+v", p)
	}
}

// TestEverythingIsEverything fails when a key is added to the table of keys and not to the text above.
func TestEverythingIsEverything(t *testing.T) {
	root, problems := readTree("f", []byte(everything))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	written := map[string]bool{}
	var walk func(prefix string, g *group)
	walk = func(prefix string, g *group) {
		for _, e := range g.entries {
			written[prefix+e.name] = true
			for _, v := range append(e.value.list, e.value) {
				if v.kind == tableValue {
					walk(prefix+e.name+".", v.table)
				}
			}
		}
	}
	walk("", root)
	for _, k := range Keys() {
		if !written[k.Key] && k.Key != "source.measurement_noise_estimate" {
			t.Errorf("%s is not written", k.Key)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Default()
	if len(c.Sources)+len(c.Servers)+len(c.NTSKEServers) != 0 {
		t.Errorf("something is configured: %+v", c)
	}
	if c.SourceDefaults.Poll != (Poll{4, 10, 4}) {
		t.Errorf("poll is %+v", c.SourceDefaults.Poll)
	}
	y := c.Synchronization
	if y.SingleStepPanic != (StepLimit{1000 * time.Second, 1000 * time.Second}) || y.StartupStepPanic != (StepLimit{Unlimited, 24 * time.Hour}) || y.AccumulatedStepPanic != Unlimited {
		t.Errorf("panic thresholds are %+v", y)
	}
	if y.LocalStratum != 16 || string(y.ReferenceID[:]) != "XNON" || !y.WarnOnJump || !y.UpdateSystemClock {
		t.Errorf("synchronization is %+v", y)
	}
	if !reflect.DeepEqual(y.Algorithm, Algorithm{}) {
		t.Errorf("the algorithm is not left alone: %+v", y.Algorithm)
	}
	if k := c.Keyset; k.StaleKeyCount != 7 || k.KeyRotationInterval != 24*time.Hour || k.KeyStoragePath != "" {
		t.Errorf("keyset is %+v", k)
	}
	if o := c.Observability; o.LogLevel != "info" || o.ANSIColors != nil || o.ObservationPermissions != 0o666 || o.MetricsExporterListen.String() != "127.0.0.1:9975" {
		t.Errorf("observability is %+v", o)
	}
	if c.Clock.TimestampMode != TimestampKernelAll {
		t.Errorf("stamps are taken by %d", c.Clock.TimestampMode)
	}
	c = load(t, "[[source]]\nmode = \"pool\"\naddress = \"a\"\n[[server]]\nlisten = \"[::]:123\"\n"+ke)
	if s := c.Sources[0]; s.Count != 4 || s.NTPVersion != Version4 || len(s.Ignore) != 0 || s.Poll != (Poll{4, 10, 4}) {
		t.Errorf("source is %+v", s)
	}
	if s := c.Servers[0]; len(s.Denylist.Filter) != 0 || s.Denylist.Action != ActionDeny || s.Allowlist.Action != ActionIgnore || s.RateLimitingCacheSize != 0 ||
		s.RequireNTS != RequireNothing || !slices.Equal(s.AcceptNTPVersions, []uint8{3, 4}) || fmt.Sprint(s.Allowlist.Filter) != "[::/0 0.0.0.0/0]" {
		t.Errorf("server is %+v", s)
	}
	if l := c.Servers[0].Allowlist; l.Pos.IsValid() || l.Has("filter") || c.Servers[0].Has("allowlist") || c.Servers[0].At("allowlist") != c.Servers[0].Pos {
		t.Errorf("a default claims a place in the file: %+v", l.Table)
	}
	if s := c.NTSKEServers[0]; s.KeyExchangeTimeout != time.Second || s.ConcurrentConnections != 512 || s.LonglivedConnections != 51 || s.NTPPort != 0 || s.NTPServer != "" ||
		!slices.Equal(s.AcceptNTPVersions, []uint8{4}) {
		t.Errorf("key exchange is %+v", s)
	}
}

func TestControlPath(t *testing.T) {
	for text, want := range map[string]string{
		"": "/var/run/ntpd-rs/observe-control",
		"[observability]\nobservation-path = \"\"\n":                       "",
		"[observability]\nobservation-path = \"o\"\n":                      "o-control",
		"[observability]\nobservation-path = \"run/o\"\n":                  "run/o-control",
		"[observability]\ncontrol-path = \"\"\n":                           "",
		"[observability]\ncontrol-path = \"c\"\n":                          "c",
		"[observability]\nobservation-path = \"\"\ncontrol-path = \"c\"\n": "c",
	} {
		if got := load(t, text).Observability.ControlPath; got != want {
			t.Errorf("%q: %q instead of %q", text, got, want)
		}
	}
}

// Unless it is asked for, nobody's address is remembered.
func TestClientList(t *testing.T) {
	for text, want := range map[string]ClientList{
		"": ClientsByNetwork,
		"[observability]\nclient-list = \"network\"\n": ClientsByNetwork,
		"[observability]\nclient-list = \"address\"\n": ClientsByAddress,
		"[observability]\nclient-list = \"off\"\n":     ClientsOff,
	} {
		if got := load(t, text).Observability.ClientList; got != want {
			t.Errorf("%q: %v instead of %v", text, got, want)
		}
	}
}

func TestDefaultObservationPath(t *testing.T) {
	if got := Default().Observability.ObservationPath; got != "/var/run/ntpd-rs/observe" {
		t.Errorf("unset is %q", got)
	}
	if got := load(t, "[observability]\nobservation-path = \"\"\n").Observability.ObservationPath; got != "" {
		t.Errorf("the empty string is %q", got)
	}
}

func TestUpdateSystemClock(t *testing.T) {
	if load(t, "[synchronization]\nupdate-system-clock = false\n").Synchronization.UpdateSystemClock {
		t.Error("false is taken as true")
	}
}

func TestDottedAndNestedFormsAreTheSame(t *testing.T) {
	forms := []string{
		"[synchronization]\nsingle-step-panic-threshold = { forward = 1, backward = 2 }\nalgorithm = { step-threshold = 3 }\n",
		"synchronization.single-step-panic-threshold.forward = 1\nsynchronization.single-step-panic-threshold.backward = 2\nsynchronization.algorithm.step-threshold = 3\n",
		"[synchronization.algorithm]\nstep-threshold = 3.0\n[synchronization.single-step-panic-threshold]\nforward = 1.0\nbackward = 2_0e-1\n",
		"synchronization = { algorithm.step-threshold = 0x3, single-step-panic-threshold = { \"forward\" = 1, 'backward' = 2 } }\n",
	}
	for _, f := range forms {
		s := load(t, f).Synchronization
		if s.SingleStepPanic != (StepLimit{time.Second, 2 * time.Second}) || s.Algorithm.StepThreshold == nil || *s.Algorithm.StepThreshold != 3 {
			t.Errorf("%s\nis %+v", f, s)
		}
	}
}

func TestSecondsAreClamped(t *testing.T) {
	for f, want := range map[float64]time.Duration{0: 0, 1e-9: 1, 0.25: 250 * time.Millisecond, 1e12: Unlimited, math.Inf(1): Unlimited} {
		if got := seconds(f); got != want {
			t.Errorf("%g seconds are %d", f, got)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := load(t, ke+"accepted-pool-authentication-tokens = [\"open sesame\"]\n").NTSKEServers[0].AcceptedPoolAuthenticationTokens[0]
	json, _ := s.MarshalText()
	if all := fmt.Sprintf("%v %+v %#v %s %s", s, s, s, s, json); strings.Contains(all, "sesame") || s.Reveal() != "open sesame" {
		t.Errorf("it prints as %s", all)
	}
}

func TestPathsSayWhereTheyAreNamed(t *testing.T) {
	want := `ntp.toml:19:1 source.certificate-authority ca.pem 1
ntp.toml:67:1 nts-ke-server.certificate-chain-path chain.pem 2
ntp.toml:68:1 nts-ke-server.private-key-path key.pem 3
ntp.toml:76:1 nts-ke-server.authorized-pool-server-certificates pool.pem 4
ntp.toml:76:1 nts-ke-server.authorized-pool-server-certificates other.pem 4
ntp.toml:131:1 keyset.key-storage-path /var/lib/keys 5
ntp.toml:120:1 observability.log-path /var/log/a 6
`
	var got strings.Builder
	for _, p := range load(t, everything).Paths() {
		fmt.Fprintln(&got, p.Pos, p.Key, p.Name, p.Use)
	}
	if got.String() != want {
		t.Errorf("got\n%s", got.String())
	}
}

func TestInlineTablesMaySpanLines(t *testing.T) {
	c := load(t, "[synchronization]\nsingle-step-panic-threshold = {\n  forward = 1, # one way\n  backward = 2,\n}\n")
	if c.Synchronization.SingleStepPanic != (StepLimit{time.Second, 2 * time.Second}) {
		t.Errorf("limits are %v", c.Synchronization.SingleStepPanic)
	}
}

// TestSizesAreBounded checks that no number in a file makes the daemon ask for memory without end or count time over.
func TestSizesAreBounded(t *testing.T) {
	for text, high := range map[string]int64{
		"[[source]]\nmode = \"pool\"\naddress = \"a\"\ncount = %d\n":         255,
		"[[server]]\nlisten = \"[::]:123\"\nrate-limiting-cache-size = %d\n": 1 << 24,
		"[[server]]\nlisten = \"[::]:123\"\nrate-limiting-cutoff-ms = %d\n":  1 << 31,
		ke + "concurrent-connections = %d\n":                                 1 << 20,
		ke + "longlived-connections = %d\n":                                  1 << 20,
		ke + "key-exchange-timeout-ms = %d\n":                                1 << 31,
		"[keyset]\nstale-key-count = %d\n":                                   65535,
		"[keyset]\nkey-rotation-interval = %d\n":                             1 << 31,
		"[synchronization]\nminimum-agreeing-sources = %d\n":                 1<<31 - 1,
	} {
		if _, problems := Parse("f", fmt.Appendf(nil, text, high)); len(problems) > 0 {
			t.Errorf("the highest is not taken: %v", problems)
		}
		if _, problems := Parse("f", fmt.Appendf(nil, text, high+1)); len(problems) != 1 {
			t.Errorf(text+"is taken", high+1)
		}
	}
}

func TestServerNamesThatAreGood(t *testing.T) {
	for _, name := range []string{"time.example", "time.example.", "192.0.2.1", "2001:db8::1", strings.Repeat("a", 255)} {
		if got := load(t, ke+"ntp-server = \""+name+"\"\n").NTSKEServers[0].NTPServer; got != name {
			t.Errorf("%s is taken as %s", name, got)
		}
	}
}

func TestReferenceIDs(t *testing.T) {
	for text, want := range map[string]string{"": "    ", "A B": "A B ", "GPSD": "GPSD", "~": "~   "} {
		if got := load(t, "[synchronization]\nreference-id = \""+text+"\"\n").Synchronization.ReferenceID; string(got[:]) != want {
			t.Errorf("%q is %q", text, got)
		}
	}
	if _, problems := Parse("f", []byte("[synchronization]\nreference-id = \"\\u007f\"\n")); len(problems) != 1 {
		t.Errorf("a control character gives %v", problems)
	}
}

func TestNamesOfModes(t *testing.T) {
	for m := ModeServer; m <= ModeCSPTP; m++ {
		if got, ok := modeNamed(m.String()); !ok || got != m {
			t.Errorf("%s is %d", m, got)
		}
	}
	if got := Mode(0).String() + Mode(9).String() + Effect(9).String(); got != "Mode(0)Mode(9)Effect(9)" {
		t.Errorf("what has no name is %s", got)
	}
}

func TestStatePath(t *testing.T) {
	for text, want := range map[string][2]string{
		"":                                       {DefaultStatePath, DefaultNTSStatePath},
		"[synchronization]\nstate-path = \"\"\n": {"", DefaultNTSStatePath},
		"[synchronization]\nstate-path = \"x\"\n":     {"x", DefaultNTSStatePath},
		"[synchronization]\nnts-state-path = \"\"\n":  {DefaultStatePath, ""},
		"[synchronization]\nnts-state-path = \"x\"\n": {DefaultStatePath, "x"},
	} {
		if s := load(t, text).Synchronization; s.StatePath != want[0] || s.NTSStatePath != want[1] {
			t.Errorf("%q gives %q and %q, want %q", text, s.StatePath, s.NTSStatePath, want)
		}
	}
}

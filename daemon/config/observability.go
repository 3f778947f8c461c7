package config

import (
	"net/netip"
	"time"
)

// DefaultPath is the configuration file that the commands read when no other is named and it exists.
const DefaultPath = "/etc/ntpd-rs/ntp.toml"

// DefaultObservationPath is where the daemon is observed unless the file says otherwise; ntp-ctl looks there too.
const DefaultObservationPath = "/var/run/ntpd-rs/observe"

// Observability is [observability].
type Observability struct {
	Table
	LogLevel               string // "trace", "debug", "info", "warn" or "error"
	LogPath                string // empty: standard output
	LogPathMetricsExporter string // empty: standard output
	ANSIColors             *bool  // nil: on a terminal
	ObservationPath        string // empty: no socket
	ObservationPermissions uint32 // mode bits of the socket
	MetricsExporterListen  netip.AddrPort
	ControlPath            string // empty: no socket
	ClientList             ClientList

	control *string
}

// ClientList says how exactly an NTP server remembers who asks it.
type ClientList uint8

// The ways of remembering clients.
const (
	ClientsByNetwork ClientList = iota + 1 // by IPv4 /24 and IPv6 /48, but for private addresses
	ClientsByAddress                       // by IPv4 address and IPv6 /64
	ClientsOff                             // not at all
)

// controlSuffix makes the control socket's path out of the observation socket's, so that daemons that were told apart by
// the one are by the other.
const controlSuffix = "-control"

// controlPath is where the control socket is unless the file says: beside the observation socket, and nowhere without
// one.
func (o *Observability) controlPath() string {
	if o.ObservationPath == "" {
		return ""
	}
	return o.ObservationPath + controlSuffix
}

// Keyset is [keyset].
type Keyset struct {
	Table
	StaleKeyCount       int
	KeyRotationInterval time.Duration
	KeyStoragePath      string // empty: keys are not kept across restarts
}

// Clock is [clock].
type Clock struct {
	Table
	Path          string // of a PTP hardware clock; empty: the system's clock
	Interface     string
	TimestampMode TimestampMode
}

// A TimestampMode says who stamps packets.
type TimestampMode uint8

// The modes of stamping.
const (
	TimestampSoftware   TimestampMode = iota + 1 // the daemon
	TimestampKernelRecv                          // the kernel, on reception
	TimestampKernelAll                           // the kernel, both ways
	TimestampHardware                            // the network card
)

var logLevel = same("trace", "debug", "info", "warn", "error")

var observabilityTable = table[Observability]{keys: []*key[Observability]{
	val("log-level", logLevel, func(o *Observability) *string { return &o.LogLevel }, "the least that is logged").otherwise(`"info"`),
	val("log-path", filePath, func(o *Observability) *string { return &o.LogPath }, "file to log to").unset("standard output"),
	val("log-path-metrics-exporter", filePath, func(o *Observability) *string { return &o.LogPathMetricsExporter },
		"file that ntp-metrics-exporter logs to").unset("standard output"),
	val("ansi-colors", opt(boolean), func(o *Observability) **bool { return &o.ANSIColors }, "colours in the log").unset("on a terminal only"),
	val("observation-path", orOff, func(o *Observability) *string { return &o.ObservationPath },
		"socket that ntp-ctl and others read the state from").once("path").
		otherwise(`"`+DefaultObservationPath+`"`).differs("no socket", "observation-path"),
	val("observation-permissions", whole[uint32](0, 0o7777), func(o *Observability) *uint32 { return &o.ObservationPermissions },
		"mode of that socket").otherwise("0o666").once("mode"),
	val("control-path", opt(orOff), func(o *Observability) **string { return &o.control },
		"socket that ntp-ctl commands the daemon over; for its own user and root alone").
		unset("`observation-path` with `"+controlSuffix+"` behind it, none without one").differs("not a key", "control-path"),
	val("client-list", word(
		named[ClientList]{"network", ClientsByNetwork}, named[ClientList]{"address", ClientsByAddress}, named[ClientList]{"off", ClientsOff}),
		func(o *Observability) *ClientList { return &o.ClientList },
		"how exactly the NTP server remembers who asks, for ntp-ctl clients: IPv4 /24 and IPv6 /48, IPv4 addresses and IPv6 /64, or nothing").
		otherwise(`"network"`).differs("not a key", "client-list"),
	val("metrics-exporter-listen", socket, func(o *Observability) *netip.AddrPort { return &o.MetricsExporterListen },
		"address that ntp-metrics-exporter listens on").otherwise(`"127.0.0.1:9975"`),
}}

var keysetTable = table[Keyset]{keys: []*key[Keyset]{
	val("stale-key-count", whole[int](0, 65535), func(k *Keyset) *int { return &k.StaleKeyCount },
		"keys kept after their rotation, for cookies still out").otherwise("7").once("old-keys"),
	val("key-rotation-interval", scaled("seconds", time.Second, 1, 1<<31), func(k *Keyset) *time.Duration { return &k.KeyRotationInterval },
		"age at which a new key is made").otherwise("86400").once("rotation-interval"),
	val("key-storage-path", filePath, func(k *Keyset) *string { return &k.KeyStoragePath },
		"file that keeps the keys across restarts").unset("not kept").once("storage-path"),
}}

var clockTable = table[Clock]{keys: []*key[Clock]{
	val("clock", filePath, func(c *Clock) *string { return &c.Path }, "PTP hardware clock to steer").unset("the system's clock").
		unbuilt(EffectSteered, "steering a PTP hardware clock is not built yet; remove the key", always[Clock]),
	val("interface", text("name of an interface"), func(c *Clock) *string { return &c.Interface }, "interface that sockets are bound to").unset("any").
		unbuilt(EffectAsked, "binding to an interface is not built yet; remove the key", always[Clock]),
	val("timestamp-mode", word(
		named[TimestampMode]{"software", TimestampSoftware}, named[TimestampMode]{"kernel-recv", TimestampKernelRecv},
		named[TimestampMode]{"kernel-all", TimestampKernelAll}, named[TimestampMode]{"hardware", TimestampHardware}),
		func(c *Clock) *TimestampMode { return &c.TimestampMode },
		`who stamps packets; required where [clock] is written`).otherwise(`"kernel-all"`).must().
		unbuilt(EffectNone, "hardware timestamps are not built yet: the kernel stamps packets, as ntpd-rs has it without an interface",
			func(c *Clock) bool { return c.TimestampMode == TimestampHardware }).
		unbuilt(EffectNone, "stamping by less than kernel-all is not built yet: the kernel stamps packets both ways where it can",
			func(c *Clock) bool {
				return c.TimestampMode == TimestampSoftware || c.TimestampMode == TimestampKernelRecv
			}),
}}

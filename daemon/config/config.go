package config

import (
	"cmp"
	"slices"
)

// Config is the content of ntp.toml with every default filled in.
type Config struct {
	Table

	Sources         []Source
	SourceDefaults  SourceDefaults
	Servers         []Server
	NTSKEServers    []NTSKEServer
	Synchronization Synchronization
	Observability   Observability
	Keyset          Keyset
	Clock           Clock
	CSPTP           CSPTP
	CSPTPServers    []CSPTPServer

	// Warnings and Unbuilt are in the order of the file; what concerns no line in particular comes first.
	Warnings []Warning
	Unbuilt  []Unbuilt
}

var daemonTable = table[Config]{keys: []*key[Config]{
	list("source", &sourceTable, func(c *Config) *[]Source { return &c.Sources },
		"a source of time").once("peer", "peers", "sources"),
	sub("source-defaults", &sourceDefaultsTable, func(c *Config) *SourceDefaults { return &c.SourceDefaults },
		"what holds for sources that do not say otherwise"),
	list("server", &serverTable, func(c *Config) *[]Server { return &c.Servers },
		"an address that NTP is served on").once("servers"),
	list("nts-ke-server", &ntsKETable, func(c *Config) *[]NTSKEServer { return &c.NTSKEServers },
		"an address that NTS keys are handed out on").once("nts-ke"),
	sub("synchronization", &synchronizationTable, func(c *Config) *Synchronization { return &c.Synchronization },
		"how sources are combined and the clock is steered").once("system"),
	sub("observability", &observabilityTable, func(c *Config) *Observability { return &c.Observability },
		"logs and the observation socket").once("observe"),
	sub("keyset", &keysetTable, func(c *Config) *Keyset { return &c.Keyset },
		"the keys that seal NTS cookies"),
	sub("clock", &clockTable, func(c *Config) *Clock { return &c.Clock },
		"the clock that is steered and how packets are stamped"),
	sub("csptp", &csptpTable, func(c *Config) *CSPTP { return &c.CSPTP },
		"client-server PTP: what our clock says of itself"),
	list("csptp-server", &csptpServerTable, func(c *Config) *[]CSPTPServer { return &c.CSPTPServers },
		"client-server PTP: serve it").
		unbuilt(EffectServed, "client-server PTP is not built yet; remove [[csptp-server]]", always[Config]),
}}

// Parse reads the bytes of ntp.toml. The name is what positions show: the path that a person would open.
//
// All problems of the file are returned at once. While there are any, the Config is only good for its Warnings and
// Unbuilt; it is never nil. Parse keeps no reference to data.
func Parse(name string, data []byte) (*Config, Problems) {
	c := new(Config)
	root, problems := readTree(name, data)
	d := &decoder{problems: problems, homes: homes(Keys())}
	d.modernise(root)
	decodeTable(d, &daemonTable, c, "", &value{kind: tableValue, pos: Pos{File: name}, table: root})
	d.resolve(c)
	if len(d.problems) == 0 {
		d.check(c)
	}
	slices.SortStableFunc(d.warnings, func(a, b Warning) int { return cmp.Or(a.Pos.compare(b.Pos), cmp.Compare(a.Key, b.Key)) })
	slices.SortStableFunc(d.unbuilt, func(a, b Unbuilt) int { return cmp.Or(a.Pos.compare(b.Pos), cmp.Compare(a.Key, b.Key)) })
	c.Warnings, c.Unbuilt = d.warnings, d.unbuilt
	return c, d.problems.sorted()
}

// Default is the configuration of an absent or empty file: no sources, no servers.
func Default() *Config {
	c, _ := Parse("", nil)
	return c
}

// Refusals lists what is asked for in the file and would have to be ignored although that changes what is steered,
// asked or served. The daemon starts only when there is none.
func (c *Config) Refusals() []Unbuilt {
	var refusals []Unbuilt
	for _, u := range c.Unbuilt {
		if u.Effect.Refuses() {
			refusals = append(refusals, u)
		}
	}
	return refusals
}

// FailsValidate reports whether a configuration without problems must still fail validation: the daemon would refuse
// to start, or ntpd-rs' own checks find fault with it.
func (c *Config) FailsValidate() bool {
	return len(c.Refusals()) > 0 || slices.ContainsFunc(c.Warnings, func(w Warning) bool { return w.FailsValidate })
}

// A Path is a file that the configuration names.
type Path struct {
	Pos  Pos
	Key  string
	Name string // as written; relative to the working directory
	Use  Use
}

// Use says what a file is for.
type Use uint8

// The uses of files.
const (
	UseRoots       Use = iota + 1 // certificates of authorities, read
	UseChain                      // a certificate chain, read
	UseKey                        // a private key, read
	UseCertificate                // exactly one certificate, read
	UseKeys                       // the cookie keys, read and written
	UseLog                        // a log, written
	UseSocket                     // the observation socket, made
)

// Paths lists the files that the configuration names, in the order of its sections, so that what fails to open can be
// reported with its place in the file. Devices of sources that are not built are left out.
func (c *Config) Paths() []Path {
	var all []Path
	add := func(t *Table, section, key, name string, use Use) {
		if name != "" {
			all = append(all, Path{t.At(key), dot(section, key), name, use})
		}
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		add(&s.Table, "source", "certificate-authority", s.CertificateAuthority, UseRoots)
	}
	for i := range c.NTSKEServers {
		s := &c.NTSKEServers[i]
		add(&s.Table, "nts-ke-server", "certificate-chain-path", s.CertificateChainPath, UseChain)
		add(&s.Table, "nts-ke-server", "private-key-path", s.PrivateKeyPath, UseKey)
		for _, p := range s.AuthorizedPoolServerCertificates {
			add(&s.Table, "nts-ke-server", "authorized-pool-server-certificates", p, UseCertificate)
		}
	}
	add(&c.Keyset.Table, "keyset", "key-storage-path", c.Keyset.KeyStoragePath, UseKeys)
	add(&c.Observability.Table, "observability", "log-path", c.Observability.LogPath, UseLog)
	add(&c.Observability.Table, "observability", "observation-path", c.Observability.ObservationPath, UseSocket)
	return all
}

// homes says in which section each key belongs.
func homes(keys []Row) map[string]string {
	m := map[string]string{}
	for _, k := range keys {
		section, name := "", k.Key
		for i := len(k.Key) - 1; i >= 0; i-- {
			if k.Key[i] == '.' {
				section, name = k.Key[:i], k.Key[i+1:]
				break
			}
		}
		if _, taken := m[name]; !taken && section != "" {
			m[name] = "[" + section + "]"
		}
	}
	return m
}

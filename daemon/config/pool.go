package config

import (
	"fmt"
	"net/netip"
	"time"
)

// PoolConfig is the content of pool.toml, which nts-pool-ke runs on.
type PoolConfig struct {
	Listen                   netip.AddrPort
	CertificateAuthorityPath string // roots for the way to the time sources, besides the system's
	CertificateChainPath     string // shown to clients, and to the time sources as our own
	PrivateKeyPath           string
	KeyExchangeServers       []PoolServer // never empty
	KeyExchangeTimeout       time.Duration
	LogLevel                 string // "trace", "debug", "info", "warn" or "error"

	Warnings []Warning

	server        poolServerTable
	observability poolObservability
}

// A PoolServer is one of the key-exchange-servers.
type PoolServer struct {
	Table
	Domain string
	Port   uint16
}

// String gives domain:port.
func (s PoolServer) String() string { return Address{s.Domain, s.Port}.String() }

type poolServerTable struct {
	Table
	listen            netip.AddrPort
	roots, chain, key string
	servers           []PoolServer
	timeout           time.Duration
}

type poolObservability struct {
	Table
	level string
}

var poolTable = table[PoolConfig]{keys: []*key[PoolConfig]{
	sub("nts-pool-ke-server", &poolServerKeys, func(c *PoolConfig) *poolServerTable { return &c.server }, "the key exchange of the pool").must(),
	sub("observability", &poolObservabilityKeys, func(c *PoolConfig) *poolObservability { return &c.observability }, "logs"),
}}

var poolServerKeys = table[poolServerTable]{keys: []*key[poolServerTable]{
	val("listen", socket, func(s *poolServerTable) *netip.AddrPort { return &s.listen }, "the TCP address to listen on").must(),
	val("certificate-authority-path", filePath, func(s *poolServerTable) *string { return &s.roots },
		"PEM file of certificate authorities to trust, besides the system's, for the time sources").must(),
	val("certificate-chain-path", filePath, func(s *poolServerTable) *string { return &s.chain },
		"PEM file: the pool's certificate, then its issuers; shown to clients and to time sources").must(),
	val("private-key-path", filePath, func(s *poolServerTable) *string { return &s.key },
		"PEM file of the certificate's key, without a passphrase").must(),
	list("key-exchange-servers", &poolServerEntry, func(s *poolServerTable) *[]PoolServer { return &s.servers },
		"the time sources that clients are spread over").must(),
	val("key-exchange-timeout-ms", scaled("milliseconds", time.Millisecond, 1, 1<<31), func(s *poolServerTable) *time.Duration { return &s.timeout },
		"time for a client from the first byte to the last").otherwise("1000"),
}}

var poolServerEntry = table[PoolServer]{keys: []*key[PoolServer]{
	val("domain", serverName, func(s *PoolServer) *string { return &s.Domain }, "name of the time source, as in its certificate").must(),
	val("port", whole[uint16](1, 65535), func(s *PoolServer) *uint16 { return &s.Port }, "its key exchange port").must(),
}}

var poolObservabilityKeys = table[poolObservability]{keys: []*key[poolObservability]{
	val("log-level", logLevel, func(o *poolObservability) *string { return &o.level }, "the least that is logged").otherwise(`"info"`),
}}

// ParsePool reads the bytes of pool.toml. Like Parse, it returns all problems at once and never a nil PoolConfig; while
// there are problems the rest of it is not to be used.
func ParsePool(name string, data []byte) (*PoolConfig, Problems) {
	c := new(PoolConfig)
	root, problems := readTree(name, data)
	d := &decoder{problems: problems, homes: homes(PoolKeys())}
	decodeTable(d, &poolTable, c, "", &value{kind: tableValue, pos: Pos{File: name, Line: 1, Column: 1}, table: root})
	s := &c.server
	c.Listen, c.CertificateAuthorityPath, c.CertificateChainPath, c.PrivateKeyPath = s.listen, s.roots, s.chain, s.key
	c.KeyExchangeServers, c.KeyExchangeTimeout, c.LogLevel = s.servers, s.timeout, c.observability.level
	d.checkPool(c)
	c.Warnings = d.warnings
	return c, d.problems.sorted()
}

// checkPool wants at least one server, and warns of one listed twice.
func (d *decoder) checkPool(c *PoolConfig) {
	const path = "nts-pool-ke-server.key-exchange-servers"
	if c.server.Has("key-exchange-servers") && len(c.KeyExchangeServers) == 0 && len(d.problems) == 0 {
		d.problem(c.server.At("key-exchange-servers"), path, "is empty", `list at least one { domain = "time.example", port = 4460 }`)
	}
	seen := map[string]Pos{}
	for i := range c.KeyExchangeServers {
		s := &c.KeyExchangeServers[i]
		if s.Domain == "" || s.Port == 0 {
			continue
		}
		if first, doubled := seen[s.String()]; doubled {
			d.warn(s.Pos, path, fmt.Sprintf("%s is listed twice, first at line %d", s, first.Line))
			continue
		}
		seen[s.String()] = s.Pos
	}
}

// At gives the place of a key of [nts-pool-ke-server].
func (c *PoolConfig) At(key string) Pos { return c.server.At(key) }

// Paths lists the files that the configuration names.
func (c *PoolConfig) Paths() []Path {
	const section = "nts-pool-ke-server."
	return []Path{
		{c.At("certificate-authority-path"), section + "certificate-authority-path", c.CertificateAuthorityPath, UseRoots},
		{c.At("certificate-chain-path"), section + "certificate-chain-path", c.CertificateChainPath, UseChain},
		{c.At("private-key-path"), section + "private-key-path", c.PrivateKeyPath, UseKey},
	}
}

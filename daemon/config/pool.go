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
	KeyExchangeServers       []PoolServer // empty only where there is a directory
	ServersDirectory         string       // of files for ParsePoolServers, whose names end in .toml; or empty
	ConcurrentConnections    int
	KeyExchangeTimeout       time.Duration
	LogLevel                 string // "trace", "debug", "info", "warn" or "error"

	Warnings []Warning

	server        poolServerTable
	observability poolObservability
}

// A PoolServer is one of the key-exchange-servers.
type PoolServer struct {
	Table
	Domain    string
	Port      uint16
	Token     Secret // makes the pool known to the server; empty without
	TokenFile string // holds the token in its first line, or empty
	Weight    uint32 // share of the clients; 0: none at the moment
	Owner     string // or empty
	Location  string // or empty
}

// String gives domain:port.
func (s PoolServer) String() string { return Address{s.Domain, s.Port}.String() }

type poolServerTable struct {
	Table
	listen            netip.AddrPort
	roots, chain, key string
	servers           []PoolServer
	directory         string
	connections       int
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
		"the time sources that clients are spread over"),
	val("key-exchange-servers-directory", filePath, func(s *poolServerTable) *string { return &s.directory },
		"directory of files that list more of them, each a file .toml with the array key-exchange-servers").unset("none").differs("not a key", "pool-keys"),
	val("concurrent-connections", whole[int](1, 1<<20), func(s *poolServerTable) *int { return &s.connections },
		"clients that may be connected at once").otherwise("20000").differs("not a key", "pool-keys"),
	val("key-exchange-timeout-ms", scaled("milliseconds", time.Millisecond, 1, 1<<31), func(s *poolServerTable) *time.Duration { return &s.timeout },
		"time for a client from the first byte to the last").otherwise("4500").differs("`1000`", "pool-timeout"),
}}

var poolServerEntry = table[PoolServer]{keys: []*key[PoolServer]{
	val("domain", serverName, func(s *PoolServer) *string { return &s.Domain }, "name of the time source, as in its certificate").must(),
	val("port", whole[uint16](1, 65535), func(s *PoolServer) *uint16 { return &s.Port }, "its key exchange port").must(),
	val("token", secret, func(s *PoolServer) *Secret { return &s.Token },
		"makes the pool known to the time source, which has it among its accepted-pool-authentication-tokens").unset("the pool's certificate does").differs("not a key", "pool-keys"),
	val("token-file", filePath, func(s *PoolServer) *string { return &s.TokenFile },
		"file with the token, instead of token").unset("none").differs("not a key", "pool-keys"),
	val("weight", whole[uint32](0, 1_000_000), func(s *PoolServer) *uint32 { return &s.Weight },
		"its share of the clients, beside the weights of the others; 0 gives it none and goes on watching it").otherwise("1").differs("not a key", "pool-keys"),
	val("owner", text("name"), func(s *PoolServer) *string { return &s.Owner },
		"who runs it; a client gets servers of different owners as far as there are some").unset("nobody's").differs("not a key", "pool-keys"),
	val("location", text("name"), func(s *PoolServer) *string { return &s.Location },
		"where it is, for the log").unset("not known").differs("not a key", "pool-keys"),
}}

// poolServersFile is one file of the directory.
var poolServersFile = table[poolServerTable]{keys: []*key[poolServerTable]{
	list("key-exchange-servers", &poolServerEntry, func(s *poolServerTable) *[]PoolServer { return &s.servers }, "time sources"),
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
	c.ServersDirectory, c.ConcurrentConnections = s.directory, s.connections
	s.servers = nil // fmt would print the tokens of what is not exported
	d.checkPool(c, root)
	c.Warnings = d.warnings
	return c, d.problems.sorted()
}

// ParsePoolServers reads one file of the directory key-exchange-servers-directory. It may list no server.
func ParsePoolServers(name string, data []byte) ([]PoolServer, []Warning, Problems) {
	root, problems := readTree(name, data)
	d := &decoder{problems: problems, homes: map[string]string{}}
	var file poolServerTable
	decodeTable(d, &poolServersFile, &file, "", &value{kind: tableValue, pos: Pos{File: name, Line: 1, Column: 1}, table: root})
	d.checkPoolServers(file.servers, "key-exchange-servers")
	return file.servers, d.warnings, d.problems.sorted()
}

// checkPool wants at least one server, or a directory of them.
func (d *decoder) checkPool(c *PoolConfig, root *group) {
	const path = "nts-pool-ke-server.key-exchange-servers"
	s := &c.server
	section := root.get("nts-pool-ke-server")
	switch {
	case !s.Pos.IsValid() || section == nil || section.value.table.broken || s.directory != "" || s.Has("key-exchange-servers-directory"):
	case !s.Has("key-exchange-servers"):
		d.problem(s.Pos, path, "is missing", "add [["+path+"]]")
	case len(c.KeyExchangeServers) == 0 && len(d.problems) == 0:
		d.problem(s.At("key-exchange-servers"), path, "is empty", `list at least one { domain = "time.example", port = 4460 }`)
	}
	d.checkPoolServers(c.KeyExchangeServers, path)
}

// checkPoolServers warns of a server listed twice, and wants one token at most.
func (d *decoder) checkPoolServers(servers []PoolServer, path string) {
	seen := map[string]Pos{}
	for i := range servers {
		s := &servers[i]
		if s.Token.Reveal() != "" && s.TokenFile != "" {
			d.problem(s.At("token-file"), path+".token-file", "is there beside token", "keep one of them")
		}
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

// Has reports whether a key of [nts-pool-ke-server] is written in the file.
func (c *PoolConfig) Has(key string) bool { return c.server.Has(key) }

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

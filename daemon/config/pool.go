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
	DiscoveryDomains         []string       // that list more servers in DNS
	DiscoveryResolver        netip.AddrPort // validates, and is on this machine
	DiscoverySecretFile      string         // out of which their tokens are made, or empty
	Balancers                []netip.Prefix // connections from there begin with a PROXY header
	GeolocationPath          string         // database of places, or empty
	OwnerPercent             int            // of the clients that one owner's servers get at most
	Shards                   int            // names 0.NAME, 1.NAME ...; 0: none
	ReloadInterval           time.Duration  // how often to look whether files have changed; 0: never
	LogLevel                 string         // "trace", "debug", "info", "warn" or "error"
	StatusPath               string         // socket for ntp-ctl pool status, or empty
	StatusPermissions        uint32
	MetricsListen            netip.AddrPort // for Prometheus; the zero value is nowhere
	AccessLogPath            string         // or empty
	AccessLogAddresses       bool           // of clients too

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
	Country   string // two capital letters, or empty
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
	domains           []string
	resolver          netip.AddrPort
	secret            string
	balancers         []netip.Prefix
	geolocation       string
	ownerPercent      int
	shards            int
	reload            time.Duration
}

type poolObservability struct {
	Table
	level       string
	status      string
	permissions uint32
	metrics     netip.AddrPort
	access      string
	addresses   bool
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
	val("discovery-domains", many(serverName), func(s *poolServerTable) *[]string { return &s.domains },
		"domains whose SRV records of _ntske._tcp list more time sources; only DNSSEC-secure answers are used").otherwise("[]").differs("not a key", "pool-keys"),
	val("discovery-resolver", socket, func(s *poolServerTable) *netip.AddrPort { return &s.resolver },
		"validating DNS resolver on this machine, whose word that an answer is secure is taken").otherwise(`"127.0.0.1:53"`).differs("not a key", "pool-keys"),
	val("discovery-secret-file", filePath, func(s *poolServerTable) *string { return &s.secret },
		"file with the secret out of which the token of each discovered source is made").unset("the pool's certificate does").differs("not a key", "pool-keys"),
	val("balancers", many(subnet), func(s *poolServerTable) *[]netip.Prefix { return &s.balancers },
		"load balancers: connections from there must begin with a header of the PROXY protocol, version 2, and from nowhere else").otherwise("[]").differs("not a key", "pool-keys"),
	val("geolocation-path", filePath, func(s *poolServerTable) *string { return &s.geolocation },
		"database of countries in MaxMind's format; clients get sources near them").unset("none").differs("not a key", "pool-keys"),
	val("owner-percent", whole[int](1, 100), func(s *poolServerTable) *int { return &s.ownerPercent },
		"part of the clients that the sources of one owner get at most").otherwise("100").differs("not a key", "pool-keys"),
	val("shards", whole[int](0, 16), func(s *poolServerTable) *int { return &s.shards },
		"names 0.NAME, 1.NAME and so on of the pool, each with sources of its own").otherwise("0").differs("not a key", "pool-keys"),
	val("reload-seconds", scaled("seconds", time.Second, 0, 86400), func(s *poolServerTable) *time.Duration { return &s.reload },
		"how often to look whether files have changed; 0 leaves it to SIGHUP").otherwise("5").differs("not a key", "pool-keys"),
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
	val("country", country, func(s *PoolServer) *string { return &s.Country },
		"where it is, for clients near it").unset("not known").differs("not a key", "pool-keys"),
}}

// poolServersFile is one file of the directory.
var poolServersFile = table[poolServerTable]{keys: []*key[poolServerTable]{
	list("key-exchange-servers", &poolServerEntry, func(s *poolServerTable) *[]PoolServer { return &s.servers }, "time sources"),
}}

var poolObservabilityKeys = table[poolObservability]{keys: []*key[poolObservability]{
	val("log-level", logLevel, func(o *poolObservability) *string { return &o.level }, "the least that is logged").otherwise(`"info"`),
	val("status-path", filePath, func(o *poolObservability) *string { return &o.status },
		"socket that ntp-ctl pool status reads").unset("none").differs("not a key", "pool-keys"),
	val("status-permissions", whole[uint32](0, 0o777), func(o *poolObservability) *uint32 { return &o.permissions },
		"mode of that socket").otherwise("0o660").differs("not a key", "pool-keys"),
	val("metrics-listen", socket, func(o *poolObservability) *netip.AddrPort { return &o.metrics },
		"address for Prometheus").unset("none").differs("not a key", "pool-keys"),
	val("access-log-path", filePath, func(o *poolObservability) *string { return &o.access },
		"file to which a line of JSON is written for each client").unset("none").differs("not a key", "pool-keys"),
	val("access-log-addresses", boolean, func(o *poolObservability) *bool { return &o.addresses },
		"write the addresses of clients there").otherwise("false").differs("not a key", "pool-keys"),
}}

// country reads a code of ISO 3166-1.
var country = kind[string]{"country code", func(d *decoder, path string, v *value) (string, bool) {
	s, ok := text("country code").read(d, path, v)
	if !ok {
		return "", false
	}
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		d.problem(v.pos, path, quoted(s)+" is not a country code", `write two capital letters such as "NL"`)
		return "", false
	}
	return s, true
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
	c.DiscoveryDomains, c.DiscoveryResolver, c.DiscoverySecretFile = s.domains, s.resolver, s.secret
	c.Balancers, c.GeolocationPath, c.OwnerPercent, c.Shards, c.ReloadInterval = s.balancers, s.geolocation, s.ownerPercent, s.shards, s.reload
	o := &c.observability
	c.StatusPath, c.StatusPermissions, c.MetricsListen = o.status, o.permissions, o.metrics
	c.AccessLogPath, c.AccessLogAddresses = o.access, o.addresses
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

// checkPool wants at least one server, or a place to find some.
func (d *decoder) checkPool(c *PoolConfig, root *group) {
	const path = "nts-pool-ke-server.key-exchange-servers"
	s := &c.server
	if s.resolver.IsValid() && !s.resolver.Addr().Unmap().IsLoopback() && len(s.domains) > 0 {
		d.problem(s.At("discovery-resolver"), "nts-pool-ke-server.discovery-resolver", s.resolver.String()+" is not on this machine",
			"what it says could be forged on the way; run a validating resolver here")
	}
	section := root.get("nts-pool-ke-server")
	switch {
	case !s.Pos.IsValid() || section == nil || section.value.table.broken || s.directory != "" || s.Has("key-exchange-servers-directory") || s.Has("discovery-domains") && (len(s.domains) > 0 || len(d.problems) > 0):
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

// AtObservability gives the place of a key of [observability].
func (c *PoolConfig) AtObservability(key string) Pos { return c.observability.At(key) }

// Paths lists the files that the configuration names.
func (c *PoolConfig) Paths() []Path {
	const section = "nts-pool-ke-server."
	return []Path{
		{c.At("certificate-authority-path"), section + "certificate-authority-path", c.CertificateAuthorityPath, UseRoots},
		{c.At("certificate-chain-path"), section + "certificate-chain-path", c.CertificateChainPath, UseChain},
		{c.At("private-key-path"), section + "private-key-path", c.PrivateKeyPath, UseKey},
	}
}

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
)

// setup is where everything of the demonstration is.
type setup struct {
	servers   []string // configuration files
	pool      string
	client    string
	clientNTP netip.AddrPort
	serverKE  []netip.AddrPort
	poolKE    netip.AddrPort
}

// keyExchanges are the TCP addresses that must listen before the client
// starts.
func (s *setup) keyExchanges(withPool bool) []netip.AddrPort {
	if !withPool {
		return s.serverKE
	}
	return append([]netip.AddrPort{s.poolKE}, s.serverKE...)
}

// prepare makes certificates and writes the configuration files.
func prepare(ctx context.Context, dir string) (*setup, error) {
	if err := certificates(ctx, dir); err != nil {
		return nil, err
	}
	s := &setup{}
	var err error
	for i, host := range []string{"127.0.0.1", "127.0.0.2"} {
		ntp, ke := freeUDP(host), freeTCP(host)
		s.serverKE = append(s.serverKE, ke)
		var path string
		path, err = file(dir, fmt.Sprintf("server%d.toml", i+1), fmt.Sprintf(serverTOML, ntp, ke, host, ntp.Port()))
		if err != nil {
			return nil, err
		}
		s.servers = append(s.servers, path)
	}
	s.poolKE, s.clientNTP = freeTCP("127.0.0.1"), freeUDP("127.0.0.1")
	s.pool, err = file(dir, "pool.toml", fmt.Sprintf(poolTOML, s.poolKE,
		s.serverKE[0].Addr(), s.serverKE[0].Port(), s.serverKE[1].Addr(), s.serverKE[1].Port()))
	if err != nil {
		return nil, err
	}
	s.client, err = file(dir, "client.toml", fmt.Sprintf(clientTOML, s.poolKE, s.clientNTP))
	return s, err
}

const serverTOML = `[observability]
observation-path = ""

[[server]]
listen = "%s"

[[nts-ke-server]]
listen = "%s"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
authorized-pool-server-certificates = ["end.pem"]
ntp-server = "%s"
ntp-port = %d

[synchronization]
local-stratum = 1
`

const poolTOML = `[nts-pool-ke-server]
listen = "%s"
certificate-authority-path = "testca.pem"
certificate-chain-path = "end.fullchain.pem"
private-key-path = "end.key"
key-exchange-servers = [
    { domain = "%s", port = %d },
    { domain = "%s", port = %d },
]
`

const clientTOML = `[observability]
observation-path = "client.sock"

[[source]]
mode = "nts-pool"
address = "%s"
certificate-authority = "testca.pem"
count = 2

[[server]]
listen = "%s"

[synchronization]
update-system-clock = false
`

// certificates makes a throw-away authority and one certificate for
// everything, with OpenSSL.
func certificates(ctx context.Context, dir string) error {
	script, err := filepath.Abs("test-keys/gen-cert.sh")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, script, "end", "127.0.0.2")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making certificates with OpenSSL: %w\n%s", err, out)
	}
	return nil
}

// freeUDP and freeTCP find a port that nobody uses at this moment.
func freeUDP(host string) netip.AddrPort {
	c, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return netip.AddrPort{}
	}
	defer c.Close()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

func freeTCP(host string) netip.AddrPort {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return netip.AddrPort{}
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

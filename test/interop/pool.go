package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Two time servers on addresses of their own, both willing to hand out keys to the pool's certificate.
const poolMember = `[observability]
observation-path = "/run/lab/NAME.observe"
[[server]]
listen = "ADDRESS:123"
[[nts-ke-server]]
listen = "ADDRESS:4460"
certificate-chain-path = "/run/lab/NAME.chain.pem"
private-key-path = "/run/lab/NAME.key"
authorized-pool-server-certificates = ["/run/lab/pool.pem"]
[synchronization]
local-stratum = 1
`

const poolConfig = `[nts-pool-ke-server]
listen = "10.77.0.3:4460"
certificate-authority-path = "/run/lab/ca.pem"
certificate-chain-path = "/run/lab/pool.chain.pem"
private-key-path = "/run/lab/pool.key"
key-exchange-servers = [
    { domain = "server.test", port = 4460 },
    { domain = "second.test", port = 4460 },
]
`

// poolBench is the pool with its two members.
type poolBench []server

func (o ours) pool(ctx context.Context, b *bench) (poolBench, error) {
	var members poolBench
	for name, addr := range map[string]netip.Addr{"server": addrServer, "second": addrSecond} {
		text := strings.NewReplacer("NAME", name, "ADDRESS", addr.String()).Replace(poolMember)
		m, err := o.start(b.server, "ntp-daemon", name, text, "--no-clock")
		if err != nil {
			return nil, err
		}
		if err := awaitServer(ctx, b, m, addr); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	file, err := config(b.server, "pool.toml", poolConfig)
	if err != nil {
		return nil, err
	}
	program := lab.Program{Args: []string{filepath.Join(o.bin, "nts-pool-ke"), "-c", file}, Log: "pool.log"}
	proc, err := b.server.Start(program)
	if err != nil {
		return nil, err
	}
	return members, lab.Eventually(ctx, 200*time.Millisecond, func() error {
		if ended, err := proc.Exited(); ended {
			return fmt.Errorf("nts-pool-ke ended (%v): %s", err, proc.Tail(3))
		}
		return b.server.Connect(netip.AddrPortFrom(addrPool, 4460))
	})
}

// counted adds up the members.
func (p poolBench) counted() (served, error) {
	sum := served{exchanges: -1}
	for _, member := range p {
		s, err := member.counted()
		if err != nil {
			return served{}, err
		}
		sum.requests += s.requests
		sum.authenticated += s.authenticated
		sum.refused += s.refused
	}
	return sum, nil
}

// poolRows are the rows of one unmodified NTS client that takes the pool for a server.
func poolRows(us ours, c peer) []row {
	u := upstream{name: "pool.test", nts: true, ca: "ca.pem"}
	wrong := upstream{name: "pool.test", nts: true, ca: "wrong-ca.pem"}
	return []row{
		{c.String(), "our pool", "nts", func(ctx context.Context, b *bench) (string, error) {
			members, err := us.pool(ctx, b)
			if err != nil {
				return "", err
			}
			return follows(ctx, b, c, members, u)
		}},
		{c.String(), "our pool", "nts wrong CA", func(ctx context.Context, b *bench) (string, error) {
			members, err := us.pool(ctx, b)
			if err != nil {
				return "", err
			}
			return refuses(ctx, b, c, members, wrong)
		}},
	}
}

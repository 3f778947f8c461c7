package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// serverAddrs are the laboratory's own time servers, on the host's side of the tap device.
var serverAddrs = []netip.Addr{
	netip.MustParseAddr("10.88.0.11"), netip.MustParseAddr("10.88.0.12"),
	netip.MustParseAddr("10.88.0.13"), netip.MustParseAddr("10.88.0.14"),
}

// startServers starts one chronyd for each address, serving the host's time as stratum 1, and a name server that answers
// the given names with all of them.
func (m *machine) startServers(ctx context.Context, names ...string) error {
	for _, addr := range serverAddrs {
		if err := m.host.IP("addr", "add", netip.PrefixFrom(addr, prefix).String(), "dev", "tap0"); err != nil {
			return err
		}
		name := "chrony-" + addr.String()
		text := fmt.Sprintf("bindaddress %s\nlocal stratum 1\nallow all\ncmdport 0\nbindcmdaddress /\npidfile %s/%s.pid\n", addr, lab.RunDir, name)
		if err := os.WriteFile(filepath.Join(m.host.Dir, name+".conf"), []byte(text), 0o644); err != nil {
			return err
		}
		_, err := m.host.Start(lab.Program{
			Folder: m.image.folder.Path, Log: name + ".log",
			Args: []string{"chronyd", "-x", "-d", "-U", "-u", "root", "-f", lab.RunDir + "/" + name + ".conf"},
		})
		if err != nil {
			return err
		}
	}
	table := map[string][]netip.Addr{}
	for _, name := range names {
		table[name] = serverAddrs
	}
	if _, err := m.host.ServeNames(hostAddr, table); err != nil {
		return err
	}
	for _, addr := range serverAddrs {
		err := lab.Eventually(ctx, 200*time.Millisecond, func() error {
			answer, err := m.host.Ask(netip.AddrPortFrom(addr, 123))
			if err == nil && answer.Stratum != 1 {
				err = fmt.Errorf("server %s: %+v", addr, answer)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

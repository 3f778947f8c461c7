package main

import (
	"os"
	"path/filepath"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// clientConfig is that of a client of ours, whose memory is looked at when the
// comparison ends: it follows the server on the same host and steers nothing.
const clientConfig = `[observability]
log-level = "warn"
observation-path = "/run/lab/client"
[[source]]
mode = "nts"
address = "server.test"
certificate-authority = "/run/lab/ca.pem"
[[source]]
mode = "server"
address = "127.0.0.1"
[synchronization]
minimum-agreeing-sources = 1
state-path = "/run/lab/client.json"
`

// idle is a client that runs meanwhile; nil when there is none.
type idle struct{ process *lab.Process }

// idleClient starts a client of our server, if that takes part.
func idleClient(all []*contender) (*idle, error) {
	for _, c := range all {
		if c.name != "ours" {
			continue
		}
		if err := os.WriteFile(filepath.Join(c.host.Dir, "client.toml"), []byte(clientConfig), 0o644); err != nil {
			return nil, err
		}
		p, err := c.host.Start(lab.Program{Args: append(c.program, "-c", "/run/lab/client.toml", "--no-clock"), Log: "client.log"})
		return &idle{p}, err
	}
	return nil, nil
}

// resident is its memory, in MiB.
func (i *idle) resident() (float64, error) {
	if i == nil {
		return 0, nil
	}
	memory, err := lab.Memory(i.process.Pid())
	return float64(memory) / (1 << 20), err
}

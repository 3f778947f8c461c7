package main

import (
	"fmt"
	"path/filepath"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// ntpdrs runs ntpd-rs. As a client it insists on steering, so it gets the preload library that answers its clock calls.
type ntpdrs struct {
	folder  *lab.Folder
	version string
}

func (n ntpdrs) String() string { return "ntpd-rs-" + n.version }

// observed is a running daemon of ntpd-rs' kind: everything there is to know comes out of its observation socket.
type observed struct {
	proc   *lab.Process
	socket string // on the machine
}

func (d *observed) observe() (observation, error) {
	if ended, err := d.proc.Exited(); ended {
		return observation{}, fmt.Errorf("daemon ended (%v): %s", err, d.proc.Tail(3))
	}
	return observe(d.socket)
}

func (d *observed) counted() (served, error) {
	o, err := d.observe()
	return o.served(), err
}

func (d *observed) achieved() (achievement, error) {
	o, err := d.observe()
	return o.achieved(), err
}

const ntpdrsServer = `[observability]
observation-path = "/run/lab/server.observe"
[[server]]
listen = "0.0.0.0:123"
[[nts-ke-server]]
listen = "0.0.0.0:4460"
certificate-chain-path = "/run/lab/server.chain.pem"
private-key-path = "/run/lab/server.key"
[synchronization]
local-stratum = 1
`

const ntpdrsClient = `[observability]
observation-path = "/run/lab/client.observe"
[synchronization]
minimum-agreeing-sources = 1
[[source]]
`

// source writes the keys of one [[source]] section.
func (u upstream) source() string {
	if u.nts {
		return fmt.Sprintf("mode = \"nts\"\naddress = %q\ncertificate-authority = \"/run/lab/%s\"\n", u.name, u.ca)
	}
	return fmt.Sprintf("mode = \"server\"\naddress = %q\n", u.name)
}

func (n ntpdrs) start(h *lab.Host, role, text string, env ...string) (*observed, error) {
	file, err := config(h, role+".toml", text)
	if err != nil {
		return nil, err
	}
	proc, err := h.Start(lab.Program{
		Folder: n.folder.Path, Args: []string{"ntp-daemon", "-c", file}, Log: role + ".log",
		Env: append([]string{"PATH=/usr/bin", "LC_ALL=C"}, env...),
	})
	if err != nil {
		return nil, err
	}
	return &observed{proc, filepath.Join(h.Dir, role+".observe")}, nil
}

func (n ntpdrs) serve(h *lab.Host) (server, error) { return n.start(h, "server", ntpdrsServer) }

func (n ntpdrs) follow(h *lab.Host, u upstream) (client, error) {
	return n.start(h, "client", ntpdrsClient+u.source(), "LD_PRELOAD=/run/lab/fakeclock.so")
}

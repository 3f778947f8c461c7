package main

import (
	"fmt"
	"path/filepath"
	"time"

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

func (d *observed) observe() (lab.Observation, error) {
	if ended, err := d.proc.Exited(); ended {
		return lab.Observation{}, fmt.Errorf("daemon ended (%v): %s", err, d.proc.Tail(3))
	}
	return lab.Observe(d.socket)
}

func (d *observed) counted() (served, error) {
	o, err := d.observe()
	return servedBy(o), err
}

func (d *observed) achieved() (achievement, error) {
	o, err := d.observe()
	return achievedBy(o), err
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

// servedBy is the server half of an observation.
func servedBy(o lab.Observation) served {
	s := served{exchanges: -1}
	for _, v := range o.Servers {
		s.requests += v.Stats.Received
		s.authenticated += v.Stats.NTSAccepted
		s.refused += v.Stats.Denied + v.Stats.Ignored + v.Stats.Limited
	}
	return s
}

// achievedBy is the client half of an observation, of a daemon with one source.
func achievedBy(o lab.Observation) achievement {
	a := achievement{cookies: -1}
	if len(o.Sources) != 1 {
		a.text = fmt.Sprintf("socket: %d sources", len(o.Sources))
		return a
	}
	source := o.Sources[0]
	a.offset = time.Duration(source.Offset * float64(time.Second))
	if source.Unanswered < 8 {
		a.replies = 1
	}
	// A follower of a stratum 1 or 2 server takes the next stratum and drops the alarm.
	a.synchronised = o.System.Stratum < 16 && o.System.Leap == "NoWarning" && a.replies > 0
	a.text = fmt.Sprintf("socket: stratum %d, %s, offset %v", o.System.Stratum, o.System.Leap, a.offset)
	if source.Cookies != nil {
		a.cookies = *source.Cookies
		// These daemons take no unauthenticated answer of an NTS source.
		a.authenticated = a.replies > 0
		a.text += fmt.Sprintf(", %d cookies", a.cookies)
	}
	return a
}

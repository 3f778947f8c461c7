package main

import (
	"path/filepath"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// ours runs the daemons of this project, on the software clock.
type ours struct{ bin string }

func (o ours) String() string { return "ours" }

func (o ours) start(h *lab.Host, program, role, text string, args ...string) (*observed, error) {
	file, err := config(h, role+".toml", text)
	if err != nil {
		return nil, err
	}
	args = append([]string{filepath.Join(o.bin, program), "-c", file}, args...)
	proc, err := h.Start(lab.Program{Args: args, Log: role + ".log"})
	if err != nil {
		return nil, err
	}
	return &observed{proc, filepath.Join(h.Dir, role+".observe")}, nil
}

func (o ours) serve(h *lab.Host) (server, error) {
	return o.start(h, "ntp-daemon", "server", ntpdrsServer, "--no-clock")
}

func (o ours) follow(h *lab.Host, u upstream) (client, error) {
	return o.start(h, "ntp-daemon", "client", ntpdrsClient+u.source(), "--no-clock")
}

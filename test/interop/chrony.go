package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// chrony runs chronyd, always with -x: it measures and serves but never steers.
type chrony struct {
	folder  *lab.Folder
	version string
}

func (c chrony) String() string { return "chrony-" + c.version }

type chronyd struct {
	chrony
	host   *lab.Host
	socket string
	proc   *lab.Process
}

func (c chrony) start(h *lab.Host, role, text string) (*chronyd, error) {
	dir, err := privateDir(h, "chrony-"+role)
	if err != nil {
		return nil, err
	}
	socket := dir + "/chronyd.sock"
	text += fmt.Sprintf("cmdport 0\nbindcmdaddress %s\npidfile %s/chronyd.pid\n", socket, dir)
	file, err := config(h, role+".conf", text)
	if err != nil {
		return nil, err
	}
	proc, err := h.Start(lab.Program{Folder: c.folder.Path, Args: []string{"chronyd", "-x", "-d", "-U", "-u", "root", "-f", file}, Log: role + ".log"})
	if err != nil {
		return nil, err
	}
	return &chronyd{c, h, socket, proc}, nil
}

func (c chrony) serve(h *lab.Host) (server, error) {
	return c.start(h, "server", `local stratum 1
allow all
ntsserverkey /run/lab/server.key
ntsservercert /run/lab/server.chain.pem
`)
}

func (c chrony) follow(h *lab.Host, u upstream) (client, error) {
	text := "server " + u.name + " iburst"
	if u.nts {
		text += " nts\nntstrustedcerts /run/lab/" + u.ca
	}
	return c.start(h, "client", text+"\n")
}

// ask runs chronyc. With -c it prints comma separated values, without it a report.
func (d *chronyd) ask(args ...string) (string, error) {
	if ended, err := d.proc.Exited(); ended {
		return "", fmt.Errorf("chronyd ended (%v): %s", err, d.proc.Tail(3))
	}
	args = append([]string{"chronyc", "-h", d.socket, "-n", "-N"}, args...)
	return d.host.Output(lab.Program{Folder: d.folder.Path, Args: args})
}

func (d *chronyd) counted() (served, error) {
	text, err := d.ask("serverstats")
	if err != nil {
		return served{}, err
	}
	r := readReport(text)
	s := served{
		requests:      r.number("NTP packets received"),
		authenticated: r.number("Authenticated NTP packets"),
		exchanges:     r.number("NTS-KE connections accepted"),
		refused:       r.number("NTP packets dropped"),
	}
	return s, r.err
}

func (d *chronyd) achieved() (achievement, error) {
	sources, err := d.ask("-c", "sources")
	if err != nil {
		return achievement{}, err
	}
	authdata, err := d.ask("-c", "authdata")
	if err != nil {
		return achievement{}, err
	}
	a := achievement{cookies: -1}
	// mode, state, name, …
	if f := strings.Split(strings.TrimSpace(sources), ","); len(f) > 2 {
		a.synchronised = f[1] == "*"
	}
	// name, mode, key id, type, key length, last, attempts, NAKs, cookies, cookie length
	f := strings.Split(strings.TrimSpace(authdata), ",")
	nts := len(f) >= 10 && f[1] == "NTS"
	if nts {
		if a.cookies, err = strconv.Atoi(f[8]); err != nil {
			return achievement{}, fmt.Errorf("chronyc authdata: %w", err)
		}
	}
	ntpdata, err := d.ask("ntpdata")
	if err != nil || !strings.Contains(ntpdata, "Total valid RX") {
		return a, nil // a source that has no address yet has no data
	}
	r := readReport(ntpdata)
	a.replies = r.number("Total valid RX")
	a.offset = r.seconds("Offset")
	a.authenticated = r.text("Authenticated") == "Yes"
	a.text = fmt.Sprintf("chronyc: %d valid replies, authenticated %s, offset %v", a.replies, r.text("Authenticated"), a.offset)
	if nts {
		a.text += fmt.Sprintf(", %d cookies of %s bytes", a.cookies, f[9])
	}
	return a, r.err
}

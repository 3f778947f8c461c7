package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// ntpsec runs NTPsec's ntpd. It always owns UDP port 123 of its host.
type ntpsec struct {
	folder  *lab.Folder
	version string
	// limited serves under the access rule of a public server: kiss of death and rate limits for everyone.
	limited bool
}

func (n ntpsec) String() string {
	if n.limited {
		return "ntpsec-" + n.version + "-kod"
	}
	return "ntpsec-" + n.version
}

type ntpsecd struct {
	ntpsec
	host *lab.Host
	proc *lab.Process
}

func (n ntpsec) start(h *lab.Host, role, text string) (*ntpsecd, error) {
	file, err := config(h, role+".conf", "restrict 127.0.0.0 mask 255.0.0.0\n"+text)
	if err != nil {
		return nil, err
	}
	proc, err := h.Start(lab.Program{Folder: n.folder.Path, Args: []string{"ntpd", "-n", "-c", file}, Log: role + ".log"})
	if err != nil {
		return nil, err
	}
	return &ntpsecd{n, h, proc}, nil
}

func (n ntpsec) serve(h *lab.Host) (server, error) {
	text := `refclock local stratum 1 minpoll 0 maxpoll 0 prefer
tos orphan 2 orphanwait 1
nts enable
nts key /run/lab/server.key
nts cert /run/lab/server.chain.pem mintls TLS1.3
nts cookie /run/lab/nts-keys
`
	if n.limited {
		text += "restrict default kod limited nomodify noquery\n"
	} else {
		text += "restrict 10.77.0.0 mask 255.255.255.0\n"
	}
	return n.start(h, "server", text)
}

func (n ntpsec) follow(h *lab.Host, u upstream) (client, error) {
	text := "tos minsane 1 minclock 1\nserver " + u.name + " iburst"
	if u.nts {
		text += " nts ca /run/lab/" + u.ca
	}
	return n.start(h, "client", text+"\n")
}

func (d *ntpsecd) ask(command string) (string, error) {
	if ended, err := d.proc.Exited(); ended {
		return "", fmt.Errorf("ntpd ended (%v): %s", err, d.proc.Tail(3))
	}
	return d.host.Output(lab.Program{Folder: d.folder.Path, Args: []string{"ntpq", "-n", "-c", command, "127.0.0.1"}})
}

func (d *ntpsecd) counted() (served, error) {
	stats, err := d.ask("sysstats")
	if err != nil {
		return served{}, err
	}
	nts, err := d.ask("ntsinfo")
	if err != nil {
		return served{}, err
	}
	r, k := readReport(stats), readReport(nts)
	s := served{
		requests:      r.number("current version"),
		authenticated: k.number("NTS server recvs good"),
		exchanges:     k.number("NTS KE serves good"),
		refused:       r.number("rate limited") + r.number("KoD responses") + r.number("restricted"),
	}
	if r.err != nil {
		return s, r.err
	}
	return s, k.err
}

func (d *ntpsecd) achieved() (achievement, error) {
	a := achievement{cookies: -1}
	list, err := d.ask("associations")
	if err != nil {
		return a, err
	}
	id, condition := association(list)
	if id == "" {
		return a, nil
	}
	a.synchronised = condition == "sys.peer"
	text, err := d.ask("rv " + id)
	if err != nil {
		return a, err
	}
	vars := variables(text)
	milliseconds, err := strconv.ParseFloat(vars["offset"], 64)
	if err != nil {
		return a, nil // an association that waits for its key exchange has no offset
	}
	a.offset = time.Duration(milliseconds * float64(time.Millisecond))
	reach, err := strconv.ParseUint(vars["reach"], 0, 16)
	if err != nil {
		return a, fmt.Errorf("ntpq rv: reach %q: %w", vars["reach"], err)
	}
	for ; reach > 0; reach >>= 1 {
		a.replies += int(reach & 1)
	}
	a.text = fmt.Sprintf("ntpq rv: %s, reach counts %d, offset %v", condition, a.replies, a.offset)
	if cookies, ok := vars["ntscookies"]; ok {
		if a.cookies, err = strconv.Atoi(cookies); err != nil {
			return a, fmt.Errorf("ntpq rv: ntscookies: %w", err)
		}
	}
	nts, err := d.ask("ntsinfo")
	if err != nil {
		return a, err
	}
	r := readReport(nts)
	good := r.number("NTS client recvs good")
	a.authenticated = good > 0 && r.number("NTS client recvs w error") == 0
	if a.cookies >= 0 {
		a.text += fmt.Sprintf("; ntsinfo: %d authenticated replies, %d cookies", good, a.cookies)
	}
	return a, r.err
}

// association finds id and condition of the last line of ntpq's list of associations.
func association(list string) (id, condition string) {
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		// ind assid status conf reach auth condition last_event cnt
		if len(f) >= 7 {
			if _, err := strconv.Atoi(f[0]); err == nil {
				id, condition = f[1], f[6]
			}
		}
	}
	return id, condition
}

// variables reads ntpq's "name=value, name=value" text.
func variables(text string) map[string]string {
	vars := map[string]string{}
	for part := range strings.SplitSeq(strings.ReplaceAll(text, "\n", ","), ",") {
		if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			vars[name] = strings.Trim(value, `"`)
		}
	}
	return vars
}

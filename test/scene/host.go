package scene

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Host makes a host that is alone and has the run's certificates in its directory.
func (t *Trial) Host(name string) *lab.Host {
	h, err := lab.NewHost(name, filepath.Join(t.dir, name))
	t.Check(err)
	t.Cleanup(h.Close)
	t.Check(h.SetNames(Names))
	t.Check(os.CopyFS(h.Dir, os.DirFS(t.certs)))
	return h
}

// Daemon is an ntp-daemon that runs.
type Daemon struct {
	*lab.Process
	Host    *lab.Host
	observe string
}

// The configuration of a server at 127.0.0.1 with key exchange, as server.test.
const Server = `
[[server]]
listen = "127.0.0.1:123"
[[nts-ke-server]]
listen = "127.0.0.1:4460"
certificate-chain-path = "/run/lab/server.chain.pem"
private-key-path = "/run/lab/server.key"
[synchronization]
local-stratum = 1
state-path = ""
`

// Client is the configuration of a client that polls every second, without its sources.
const Client = `
[source-defaults]
poll-interval-limits = { min = 0, max = 0 }
initial-poll-interval = 0
[synchronization]
minimum-agreeing-sources = 1
state-path = ""
`

// Write puts a file into the host's directory and returns the path that programs on the host use.
func (t *Trial) Write(h *lab.Host, name, text string) string {
	t.Check(os.WriteFile(filepath.Join(h.Dir, name), []byte(text), 0o600))
	return lab.RunDir + "/" + name
}

// Daemon starts an ntp-daemon on a software clock. The observation socket is added to the configuration.
func (t *Trial) Daemon(h *lab.Host, name, text string, args ...string) *Daemon {
	return t.DaemonBehind(h, nil, name, text, args...)
}

// DaemonBehind starts it by way of another program, which executes its arguments.
func (t *Trial) DaemonBehind(h *lab.Host, wrapper []string, name, text string, args ...string) *Daemon {
	d := &Daemon{Host: h, observe: filepath.Join(h.Dir, name+".observe")}
	if !strings.Contains(text, "[observability]") {
		text = "[observability]\nlog-level = \"info\"\nobservation-path = \"" + lab.RunDir + "/" + name + ".observe\"\n" + text
	}
	file := t.Write(h, name+".toml", text)
	all := append(t.command(wrapper, "ntp-daemon"), "-c", file, "--no-clock")
	p, err := h.Start(lab.Program{Args: append(all, args...), Log: name + ".log"})
	t.Check(err)
	d.Process = p
	return d
}

// Pool starts an nts-pool-ke, by way of another program if there is one, which executes its arguments.
func (t *Trial) Pool(h *lab.Host, text string, wrapper ...string) *lab.Process {
	file := t.Write(h, "pool.toml", text)
	p, err := h.Start(lab.Program{Args: append(t.command(wrapper, "nts-pool-ke"), "-c", file), Log: "pool.log"})
	t.Check(err)
	return p
}

// command is how a row starts one of the commands: behind the wrapper of the row, and behind that of the scene.
func (t *Trial) command(wrapper []string, name string) []string {
	return slices.Concat(wrapper, t.Behind[name], []string{filepath.Join(t.Bin, name)})
}

// faults are what a program says when it lives on although a part of it did not.
var faults = []string{
	"NTS key exchange: panicked",                 // a connection of ntp-daemon's
	"a fault of this program ended a connection", // one of the pool's
	"has ended; it is started again",             // the process of the key exchange
}

// Alive ends the row as failed if the program has ended, or has said that a part of it ended by a fault of its own: what
// cuts off everybody else's key exchange is no defence.
func (t *Trial) Alive(p *lab.Process) {
	if ended, err := p.Exited(); ended {
		t.Fatal("%s ended (%v): %s", p.Name, err, p.Tail(3))
	}
	for line := range strings.Lines(p.Text()) {
		for _, fault := range faults {
			if strings.Contains(line, fault) {
				t.Fatal("%s lives on after a fault: %s", p.Name, line)
			}
		}
	}
}

// Serving waits until a server answers plain requests as one that knows the time.
func (t *Trial) Serving(d *Daemon, addr string) {
	t.Eventually(20*time.Second, func() error {
		if ended, err := d.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("%s ended (%v): %s", d.Name, err, d.Tail(3))}
		}
		a, err := Ask(d.Host, addr)
		if err == nil && a.Leap == 3 {
			err = fmt.Errorf("%s is not synchronised", addr)
		}
		return err
	})
}

// Ask sends one plain request from a host.
func Ask(h *lab.Host, addr string) (a lab.Answer, err error) {
	err = h.Inside(func() error { a, err = lab.Ask(addr, time.Second); return err })
	return a, err
}

// State is what a daemon says on its observation socket.
type State struct {
	System struct {
		Stratum          int     `json:"stratum"`
		Leap             string  `json:"leap_indicator"`
		AccumulatedSteps float64 `json:"accumulated_steps"`
	} `json:"system"`
	Servers []struct {
		Address string            `json:"address"`
		Stats   map[string]uint64 `json:"stats"`
	} `json:"servers"`
	Own struct {
		Synchronised bool     `json:"synchronised"`
		Text         string   `json:"text"`
		Offset       *float64 `json:"offset"`
		Sigma        *float64 `json:"sigma"`
		Selected     int      `json:"selected"`
		Steps        int      `json:"steps"`
		Sources      []Source `json:"sources"`

		Verdicts []map[string]uint64 `json:"verdicts"`
	} `json:"ntpd_go"`
}

// Source is one configured source of a daemon.
type Source struct {
	ID        uint64   `json:"id"`
	Source    int      `json:"source"`
	Name      string   `json:"name"`
	Address   string   `json:"address"`
	Condition string   `json:"condition"`
	Reason    string   `json:"reason"`
	Text      string   `json:"text"`
	Cookies   *int     `json:"cookies"`
	Reach     uint8    `json:"reach"`
	Poll      *int8    `json:"poll"`
	Stratum   *uint8   `json:"stratum"`
	Offset    *float64 `json:"offset"`
	Samples   *uint64  `json:"samples"`
	Dropped   *uint64  `json:"dropped"`
}

// Taken is the number of measurements that came from the source.
func (s *Source) Taken() uint64 { return value(s.Samples) }

// Refused is the number of datagrams that changed nothing.
func (s *Source) Refused() uint64 { return value(s.Dropped) }

func value(p *uint64) uint64 {
	if p == nil {
		return 0
	}
	return *p
}

// State reads the observation socket.
func (d *Daemon) State() (State, error) {
	var s State
	conn, err := net.DialTimeout("unix", d.observe, time.Second)
	if err != nil {
		return s, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return s, err
	}
	var header [8]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return s, err
	}
	n := binary.BigEndian.Uint64(header[:])
	if n > 4<<20 {
		return s, fmt.Errorf("a state of %d octets", n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(conn, text); err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// Source is the state of one configured source.
func (d *Daemon) Source(i int) (Source, State, error) {
	s, err := d.State()
	if err != nil {
		return Source{}, s, err
	}
	for _, row := range s.Own.Sources {
		if row.Source == i {
			return row, s, nil
		}
	}
	return Source{}, s, fmt.Errorf("no source %d in the state", i)
}

// MustState is State for rows in which it has to work.
func (t *Trial) MustState(d *Daemon) State {
	t.Alive(d.Process)
	s, err := d.State()
	t.Check(err)
	return s
}

// Samples waits until a source has given n measurements more than before.
func (t *Trial) Samples(d *Daemon, source int, before, n uint64, within time.Duration) Source {
	var s Source
	t.Eventually(within, func() error {
		if ended, err := d.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("%s ended (%v): %s", d.Name, err, d.Tail(3))}
		}
		var err error
		if s, _, err = d.Source(source); err != nil {
			return err
		}
		if s.Taken() < before+n {
			return fmt.Errorf("source %d gave %d measurements, want %d (%s: %s)", source, s.Taken(), before+n, s.Condition, s.Text)
		}
		return nil
	})
	return s
}

// At is an address with a port on a host.
func At(addr string) netip.AddrPort { return netip.MustParseAddrPort(addr) }

// Answering waits until a daemon answers on its observation socket.
func (t *Trial) Answering(d *Daemon) {
	t.Eventually(20*time.Second, func() error {
		if ended, err := d.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("%s ended (%v): %s", d.Name, err, d.Tail(3))}
		}
		_, err := d.State()
		return err
	})
}

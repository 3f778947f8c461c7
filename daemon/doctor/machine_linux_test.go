package doctor

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func TestSocketsAreReadAsTheKernelWritesThem(t *testing.T) {
	if !littleEndian {
		t.Skip("the lines are of a little-endian machine")
	}
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  523: 0100007F:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  524: 0200000A:8F3C 0100000A:007B 01 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
  525: 00000000000000000000000001000000:007B 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4713 2 0000000000000000 0
  nonsense
`
	got := parseSockets(text, false)
	if len(got) != 2 || got[0] != (socket{netip.MustParseAddrPort("127.0.0.1:123"), "4711"}) || got[1] != (socket{netip.MustParseAddrPort("[::1]:123"), "4713"}) {
		t.Errorf("%v", got)
	}
	if got := parseSockets(text, true); len(got) != 0 {
		t.Errorf("listening: %v", got)
	}
}

func TestAPortIsSeenWithWhoHoldsIt(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	at := netip.MustParseAddrPort(c.LocalAddr().String())
	me, ok := readProcess("self", "")
	if !ok || me.pid != os.Getpid() {
		t.Fatalf("%+v", me)
	}
	m := &machine{processes: []process{me}}
	for _, s := range openSockets("udp") {
		if s.local == at {
			if h := m.holders(s.inode); len(h) != 1 || h[0].pid != os.Getpid() {
				t.Errorf("held by %v", h)
			}
			return
		}
	}
	t.Errorf("%v is not among the open sockets", at)
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.2", false}, {"0.0.0.0", "127.0.0.2", true},
		{"::", "127.0.0.2", true}, {"::", "::1", true}, {"0.0.0.0", "::1", false}, {"::1", "127.0.0.1", false}, {"::ffff:127.0.0.1", "127.0.0.1", true},
	} {
		a, b := netip.MustParseAddr(c.a), netip.MustParseAddr(c.b)
		if overlap(a, b) != c.want || overlap(b, a) != c.want {
			t.Errorf("%v and %v: %v", a, b, !c.want)
		}
	}
}

func TestWhoIsATimeDaemon(t *testing.T) {
	for _, c := range []struct {
		p    process
		want string
	}{
		{process{names: []string{"chronyd"}}, "chronyd"},
		{process{names: []string{"systemd-timesyncd", "systemd-timesyn"}}, "systemd-timesyncd"},
		{process{names: []string{"sleep", "systemd-timesyncd"}}, "systemd-timesyncd"},
		{process{names: []string{"busybox", "ntpd"}, args: []string{"/bin/busybox", "ntpd", "-n"}}, "busybox-ntpd"},
		{process{names: []string{"ntpd-rs-exporter"}}, ""},
		{process{names: []string{"sshd"}}, ""},
	} {
		if got, ok := c.p.timeDaemon(); got != c.want || ok != (c.want != "") {
			t.Errorf("%v is %q", c.p.names, got)
		}
	}
	for name := range timeDaemons {
		if timeDaemons[name] == "" {
			t.Errorf("%s has no remedy", name)
		}
	}
}

func TestOtherDaemons(t *testing.T) {
	const all = ^uint64(0)
	for _, c := range []struct {
		name  string
		p     process
		check Status
	}{
		{"one that steers from another network, as the clock shows", process{pid: 7, names: []string{"chronyd"}, caps: all, uid: 1}, Fail},
		{"one that steers", process{pid: 7, names: []string{"chronyd"}, caps: all, near: true}, Fail},
		{"one that might steer from another network", process{pid: 7, names: []string{"chronyd"}, caps: all}, OK},
		{"one that only looks", process{pid: 7, names: []string{"chronyd"}, args: []string{"chronyd", "-x"}, caps: all, near: true}, Warn},
		{"one without the capability", process{pid: 7, names: []string{"ntpd"}, near: true}, Warn},
		{"one without the capability on another network", process{pid: 7, names: []string{"ntpd"}}, OK},
		{"ours", process{pid: 9, names: []string{"ntp-daemon"}, caps: all, near: true}, OK},
		{"a second of ours", process{pid: 7, names: []string{"ntp-daemon"}, caps: all, near: true}, Fail},
		{"something else with the capability", process{pid: 7, names: []string{"sshd"}, caps: all, near: true}, OK},
	} {
		e := &exam{report: &Report{}, machine: &machine{ours: 9, processes: []process{{pid: 9, names: []string{"ntp-daemon"}, caps: all, near: true}}}}
		e.kernel = kernel{known: true, unsynced: c.p.uid == 0}
		if c.p.pid != 9 {
			e.machine.processes = append(e.machine.processes, c.p)
		}
		e.otherDaemons()
		if e.report.Status != c.check {
			t.Errorf("%s: %v", c.name, e.report.Lines)
		}
	}
}

// Another process of ours counts by the configuration that it was started
// with.
func TestAnotherOfOurs(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"steers.toml":   "[[source]]\nmode = \"server\"\naddress = \"a.test\"\n",
		"serves.toml":   "[[server]]\nlisten = \"127.0.0.1:123\"\n",
		"software.toml": "[synchronization]\nupdate-system-clock = false\n[[source]]\nmode = \"server\"\naddress = \"a.test\"\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]bool{
		"-c steers.toml": true, "--config=steers.toml": true, "--config steers.toml": true, "-c steers.toml --no-clock": false,
		"-c serves.toml": false, "-c software.toml": false, "-c nowhere.toml": true,
	} {
		p := process{pid: os.Getpid(), names: []string{daemonName}, args: append([]string{daemonName}, strings.Fields(args)...), caps: capSysTime}
		if p.ownClock() != want {
			t.Errorf("%s: %v", args, !want)
		}
		if p.caps = 0; p.ownClock() {
			t.Errorf("%s steers without the capability", args)
		}
	}
}

func TestLowPortsNeedACapability(t *testing.T) {
	const all = ^uint64(0)
	for _, c := range []struct {
		name string
		m    machine
		port uint16
		free bool
	}{
		{"everything", machine{bounding: all, lowest: 1024, self: process{caps: all}}, 123, true},
		{"a high port", machine{bounding: 1, lowest: 1024}, 1123, true},
		{"a lowered limit", machine{bounding: 1, lowest: 100}, 123, true},
		{"not in the bounding set", machine{bounding: all &^ capBind, lowest: 1024, self: process{uid: 5}}, 123, false},
		{"root without it", machine{bounding: all, lowest: 1024}, 123, false},
		{"a user, whose daemon may have it", machine{bounding: all, lowest: 1024, self: process{uid: 5}}, 123, true},
		{"no capabilities here", machine{}, 123, true},
	} {
		if why := c.m.mayNotBind(c.port); (why == "") != c.free {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

func TestProcessesAreRead(t *testing.T) {
	m := lookAround()
	if len(m.processes) == 0 || m.self.pid != os.Getpid() || m.bounding == 0 {
		t.Errorf("%d processes, self %+v, bounding %x", len(m.processes), m.self, m.bounding)
	}
	if len(m.self.names) == 0 || !strings.HasSuffix(m.self.names[0], ".test") {
		t.Errorf("this process is %v", m.self.names)
	}
}

package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// lookAround reads /proc and /sys.
func lookAround() *machine {
	m := &machine{}
	m.self, _ = readProcess("self", "")
	m.self.pid = os.Getpid()
	here, _ := os.Readlink("/proc/self/ns/net")
	entries, err := os.ReadDir("/proc")
	if err == nil {
		for _, entry := range entries {
			if _, err := strconv.Atoi(entry.Name()); err != nil {
				continue
			}
			if p, ok := readProcess(entry.Name(), here); ok && p.pid != m.self.pid {
				m.processes = append(m.processes, p)
			}
		}
	}
	status := readStatus("self")
	m.bounding, _ = strconv.ParseUint(status["CapBnd"], 16, 64)
	if text, err := os.ReadFile("/proc/self/uid_map"); err == nil && !slices.Equal(strings.Fields(string(text)), []string{"0", "0", "4294967295"}) {
		m.inside = "this is a user namespace (uid map " + strings.Join(strings.Fields(string(text)), " ") + "), where no capability reaches the clock"
	}
	m.lowest = 1024
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 16); err == nil {
			m.lowest = uint16(n)
		}
	}
	const clocks = "/sys/devices/system/clocksource/clocksource0/"
	if text, err := os.ReadFile(clocks + "current_clocksource"); err == nil {
		m.clock.current = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile(clocks + "available_clocksource"); err == nil {
		m.clock.available = strings.Fields(string(text))
	}
	return m
}

// readStatus reads the pairs of /proc/PID/status.
func readStatus(pid string) map[string]string {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// readProcess reads what is known of a process; here is our own network
// namespace.
func readProcess(pid, here string) (process, bool) {
	status := readStatus(pid)
	if status == nil {
		return process{}, false
	}
	p := process{}
	p.pid, _ = strconv.Atoi(status["Pid"])
	if uids := strings.Fields(status["Uid"]); len(uids) > 1 {
		p.uid, _ = strconv.Atoi(uids[1])
	}
	for _, g := range append(strings.Fields(status["Gid"]), strings.Fields(status["Groups"])...) {
		if n, err := strconv.Atoi(g); err == nil {
			p.gids = append(p.gids, n)
		}
	}
	p.caps, _ = strconv.ParseUint(status["CapEff"], 16, 64)
	if text, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil {
		p.args = strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
	}
	name := func(n string) {
		if n != "" && n != "." && !slices.Contains(p.names, n) {
			p.names = append(p.names, n)
		}
	}
	if exe, err := os.Readlink("/proc/" + pid + "/exe"); err == nil {
		name(strings.TrimSuffix(filepath.Base(exe), " (deleted)"))
	}
	name(status["Name"])
	if len(p.args) > 0 {
		// "ntpd: ntp engine" is how OpenNTPD shows itself.
		first, _, _ := strings.Cut(p.args[0], " ")
		name(strings.TrimSuffix(filepath.Base(first), ":"))
	}
	if len(p.names) == 0 {
		return process{}, false
	}
	ns, err := os.Readlink("/proc/" + pid + "/ns/net")
	p.near = err == nil && ns == here
	return p, true
}

package doctor

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ntpd-go/ntpd-go/daemon/config"
)

// machine is what there is to see of this computer without asking anybody.
type machine struct {
	processes []process
	self      process
	ours      int    // the process behind the observation socket; 0 if unknown
	bounding  uint64 // capabilities that anything here can ever have
	lowest    uint16 // port that needs no capability
	inside    string // why capabilities are of no use here, or empty
	clock     clockSource
}

// process is one that runs here.
type process struct {
	pid   int
	names []string // under which it may be known: of the program, of the file, of itself
	args  []string
	uid   int
	gids  []int
	caps  uint64 // effective
	near  bool   // shares our network
}

func (p *process) String() string { return fmt.Sprintf("%s (process %d)", p.names[0], p.pid) }

// capSysTime is the bit of the capability that lets a process set the clock.
const capSysTime = 1 << 25

func (p *process) steers() bool { return p.caps&capSysTime != 0 }

// daemonName is what our daemon is called.
const daemonName = "ntp-daemon"

// daemon is our daemon's process: that of the observation socket, else the
// one of its name on this network, if there is just one.
func (m *machine) daemon(pid int) *process {
	var found *process
	for i := range m.processes {
		p := &m.processes[i]
		switch {
		case pid != 0 && p.pid == pid:
			return p
		case pid == 0 && p.near && slices.Contains(p.names, daemonName):
			if found != nil {
				return nil
			}
			found = p
		}
	}
	return found
}

// timeDaemons are programs that steer a clock, with what stops them.
var timeDaemons = map[string]string{
	"chronyd":           "systemctl disable --now chrony (or chronyd)",
	"ntpd":              "systemctl disable --now ntp (ntpsec, ntpd, openntpd)",
	"openntpd":          "systemctl disable --now openntpd",
	"systemd-timesyncd": "systemctl disable --now systemd-timesyncd",
	"systemd-timesyn":   "systemctl disable --now systemd-timesyncd",
	"phc2sys":           "stop phc2sys, or let it leave CLOCK_REALTIME alone",
	"timemaster":        "systemctl disable --now timemaster",
	"ntpdate":           "remove it from cron",
	"sntp":              "remove it from cron",
	"rdate":             "remove it from cron",
	"htpdate":           "systemctl disable --now htpdate",
	"busybox-ntpd":      "stop busybox ntpd",
	"vmtoolsd":          "vmware-toolbox-cmd timesync disable",
	"VBoxService":       "start it with --disable-timesync",
	daemonName:          "stop the other ntp-daemon",
}

// timeDaemon says which time daemon a process is, if it is one.
func (p *process) timeDaemon() (name string, ok bool) {
	if len(p.args) > 1 && path.Base(p.args[0]) == "busybox" && p.args[1] == "ntpd" {
		return "busybox-ntpd", true
	}
	for _, n := range p.names {
		if _, known := timeDaemons[n]; known {
			return n, true
		}
	}
	return "", false
}

// system looks at who else steers the clock, at what we may do, and at the
// clock itself.
func (e *exam) system() {
	e.otherDaemons()
	if e.cfg != nil {
		e.capability()
	}
	e.clockPlausible()
	e.clockSource()
}

// otherDaemons looks for programs that fight for the clock, or for the place
// of the time daemon on this network. One in another network, such as a
// container's, counts when it may set the clock that ours steers, and when the
// kernel's clock shows that somebody does.
func (e *exam) otherDaemons() {
	ours := e.machine.daemon(e.machine.ours)
	weSteer := e.cfg == nil || e.steersSystem()
	found := false
	for i := range e.machine.processes {
		p := &e.machine.processes[i]
		name, known := p.timeDaemon()
		if !known || ours != nil && p.pid == ours.pid || name == daemonName && !p.ownClock() {
			continue
		}
		steers := p.steers() && !(name == "chronyd" && slices.Contains(p.args, "-x"))
		switch {
		case steers && weSteer && (p.near || e.kernel.known && !e.kernel.unsynced):
			e.fail("other-daemon", p.String(), "runs and may set the clock", "one program that steers the clock", timeDaemons[name])
		case p.near && steers:
			e.warn("other-daemon", p.String(), "runs and may set the system's clock, which ours leaves alone (update-system-clock = false)", "one time daemon", timeDaemons[name])
		case p.near:
			e.warn("other-daemon", p.String(), "runs beside ours, although it may not set the clock", "one time daemon", timeDaemons[name])
		default:
			continue
		}
		found = true
	}
	if !found {
		e.ok("other-daemon", "", "no other time daemon among "+fmt.Sprint(len(e.machine.processes))+" processes")
	}
}

// ownClock reports whether another process of ours is there to steer the
// system's clock, by the configuration that it was started with. Where that
// cannot be read, it is taken to.
func (p *process) ownClock() bool {
	if !p.steers() || slices.Contains(p.args, "--no-clock") {
		return false
	}
	file := config.DefaultPath
	for i, a := range p.args {
		if (a == "-c" || a == "--config") && i+1 < len(p.args) {
			file = p.args[i+1]
		} else if v, ok := strings.CutPrefix(a, "--config="); ok {
			file = v
		}
	}
	root := fmt.Sprintf("/proc/%d/", p.pid)
	if path.IsAbs(file) {
		file = root + "root" + file
	} else {
		file = root + "cwd/" + file
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	cfg, _ := config.Parse(file, data)
	return len(cfg.Sources) > 0 && cfg.Synchronization.UpdateSystemClock
}

// steersSystem reports whether our daemon is to steer the system's clock: by
// the configuration, unless the one that runs was told otherwise when it was
// started.
func (e *exam) steersSystem() bool {
	if e.answer != nil && e.answer.Own != nil && e.answer.Own.Clock != "system" {
		return false
	}
	if p := e.machine.daemon(e.machine.ours); p != nil && slices.Contains(p.args, "--no-clock") {
		return false
	}
	return e.cfg.Synchronization.UpdateSystemClock
}

// capability looks whether the daemon may set the clock.
func (e *exam) capability() {
	if !e.steersSystem() || len(e.cfg.Sources) == 0 {
		return
	}
	const fix = "grant it (container: --cap-add SYS_TIME; systemd: AmbientCapabilities=CAP_SYS_TIME), or set update-system-clock = false to leave the system's clock alone"
	p := e.machine.daemon(e.machine.ours)
	switch {
	case e.machine.bounding == 0 && e.machine.inside == "":
		return // not a system with capabilities
	case e.machine.inside != "":
		e.fail("capability", "CAP_SYS_TIME", e.machine.inside, "the capability outside of any user namespace", fix)
	case p != nil && !p.steers():
		e.fail("capability", "CAP_SYS_TIME", p.String()+" does not have it and cannot set the clock", "the capability", fix)
	case p == nil && e.machine.bounding&capSysTime == 0:
		e.fail("capability", "CAP_SYS_TIME", "nothing that is started here can have it (bounding set "+fmt.Sprintf("%#x", e.machine.bounding)+")", "the capability", fix)
	case p == nil && e.machine.self.uid == 0 && !e.machine.self.steers():
		e.fail("capability", "CAP_SYS_TIME", "root does not have it here", "the capability", fix)
	default:
		e.ok("capability", "CAP_SYS_TIME", "the daemon may set the clock")
	}
}

// clockSource is what the kernel counts time by.
type clockSource struct {
	current   string
	available []string
}

// goodSources are cheap to read and as steady as the machine has.
var goodSources = []string{"tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen", "riscv_clocksource", "timebase", "tod", "stick", "tsc-early"}

func (e *exam) clockSource() {
	c := &e.machine.clock
	if c.current == "" {
		return
	}
	if slices.Contains(goodSources, c.current) {
		e.ok("clocksource", "", c.current)
		return
	}
	better := slices.IndexFunc(c.available, func(s string) bool { return slices.Contains(goodSources, s) })
	fix := "see the kernel's log for why it rejected a better one"
	if better >= 0 {
		fix = "echo " + c.available[better] + " > /sys/devices/system/clocksource/clocksource0/current_clocksource, and see the kernel's log for why it was left"
	}
	e.warn("clocksource", "", "the kernel counts time by "+c.current+", which is slow to read or coarse; available: "+strings.Join(c.available, " "),
		"tsc, or the hypervisor's clock", fix)
}

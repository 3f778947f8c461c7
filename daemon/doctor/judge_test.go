package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/probe"
)

// examOf is an exam of sources of mode server, by host, whose answers are
// already in: one for each host.
func examOf(t *testing.T, lines string, hosts []string, answers []probe.Answer) *exam {
	t.Helper()
	text := "[synchronization]\n" + lines + "\n"
	for _, h := range hosts {
		text += fmt.Sprintf("[[source]]\nmode = \"server\"\naddress = %q\n", h)
	}
	cfg, problems := config.Parse("test.toml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	e := &exam{Options: Options{Timeout: time.Millisecond, CertificateDays: 14}, ctx: context.Background(), now: time.Now(), report: &Report{}, cfg: cfg, machine: &machine{}}
	for i, h := range hosts {
		at, err := netip.ParseAddr(h)
		s := &source{Source: &cfg.Sources[i], name: h, literal: err == nil}
		if err != nil {
			at = netip.AddrFrom4([4]byte{127, 99, 0, byte(i + 1)})
		}
		s.found, s.reach = []netip.Addr{at}, []netip.Addr{at}
		if i < len(answers) {
			a := answers[i]
			a.To = netip.AddrPortFrom(at, 9)
			s.plain, s.elsewhere = []probe.Answer{a}, make([]netip.AddrPort, 1)
		}
		e.sources = append(e.sources, s)
	}
	return e
}

// says is an answer with an offset in seconds.
func says(offset float64) probe.Answer {
	delay := 0.001
	return probe.Answer{Verdict: probe.Answered, Offset: &offset, Delay: &delay, Stratum: 2}
}

func is(v probe.Verdict) probe.Answer { return probe.Answer{Verdict: v} }

// judge makes the checks of sources that ask nobody.
func judge(e *exam) {
	e.clockAgainstSources()
	e.judgeSources()
	e.quorum()
	e.operators()
}

func TestTheFirstLineIsTheCause(t *testing.T) {
	three := []string{"a.one.test", "b.two.test", "c.three.test"}
	far := says(0)
	far.RootDispersion = 2
	high := says(0)
	high.Stratum = 9
	deny := is(probe.Kissed)
	deny.RefID = "DENY"
	for _, c := range []struct {
		name    string
		lines   string
		hosts   []string
		answers []probe.Answer
		want    string // of the first line that is not OK; empty for none
	}{
		{"all well", "", three, []probe.Answer{says(0), says(0.0001), says(-0.0001)}, ""},
		{"one of three refused", "", three, []probe.Answer{says(0), says(0), is(probe.Refused)}, `^WARN  source: c\.three\.test .*nothing listens`},
		{"two of three refused", "", three, []probe.Answer{says(0), is(probe.Refused), is(probe.Refused)}, `^FAIL  source: b\.two\.test .*nothing listens`},
		{"all silent", "", three, []probe.Answer{is(probe.NoAnswer), is(probe.NoAnswer), is(probe.NoAnswer)}, `^FAIL  udp-IPv4: UDP port 9: filtered: no answer from any of 3 servers`},
		{"all rejected", "", three, []probe.Answer{is(probe.Refused), is(probe.NoRoute), is(probe.Refused)}, `^FAIL  udp-IPv4: .*0 stay silent, 3 are rejected`},
		{"forbidden", "", three, []probe.Answer{is(probe.Forbidden), is(probe.Forbidden), is(probe.Forbidden)}, `^FAIL  local-firewall: `},
		{"denied", "", three[:1], []probe.Answer{deny}, `^FAIL  source: a\.one\.test .*DENY`},
		{"not synchronised", "", three[:1], []probe.Answer{is(probe.Unsynchronised)}, `^FAIL  source: .*not synchronised itself`},
		{"far from true time", "", three[:1], []probe.Answer{far}, `^FAIL  source: .*root distance`},
		{"stratum too high", "local-stratum = 9", three[:1], []probe.Answer{high}, `^FAIL  source: .*has stratum 9, and local-stratum is 9`},
		{"stratum just right", "local-stratum = 10", three[:1], []probe.Answer{high}, ""},
		{"two that differ", "", three[:2], []probe.Answer{says(0), says(1)}, `^FAIL  agreement: 2 sources .*do not fit together: a\.one\.test \+0 ns, b\.two\.test \+1\.000 s`},
		{"one falseticker of three", "", three, []probe.Answer{says(0), says(0), says(1)}, `^WARN  agreement: c\.three\.test: falseticker: \+1\.000 s`},
		{"a falseticker too much", "minimum-agreeing-sources = 3", three, []probe.Answer{says(0), says(0), says(1)}, `^FAIL  agreement: c\.three\.test: falseticker`},
		{"off, within limits", "", three[:1], []probe.Answer{says(-80000)}, ""},
		{"off, beyond the limit", "", three[:1], []probe.Answer{says(-90000)}, `^FAIL  clock-offset: 25h0m0s ahead of 1 sources .*startup-step-panic-threshold`},
		{"off, the way without a limit", "", three[:1], []probe.Answer{says(9e6)}, ""},
		{"off, by a limit of one's own", "startup-step-panic-threshold = 5", three[:1], []probe.Answer{says(6)}, `^FAIL  clock-offset: 6\.000 s behind 1 sources`},
		{"one operator", "", []string{"a.one.test", "b.one.test"}, []probe.Answer{says(0), says(0)}, `^WARN  operators: one\.test: all 2 sources are names of this one domain`},
		{"one network", "", []string{"9.9.9.1", "9.9.9.2"}, []probe.Answer{says(0), says(0)}, `^WARN  operators: 9\.9\.9\.0/24`},
		{"a network of one's own", "", []string{"10.1.1.1", "10.1.1.2"}, []probe.Answer{says(0), says(0)}, ""},
		{"a mixture of smears", "", []string{"time.google.com", "a.one.test"}, []probe.Answer{says(0), says(0)}, `^WARN  leap-smear: time\.google\.com`},
		{"smears alone", "", []string{"time1.google.com", "time2.google.com"}, []probe.Answer{says(0), says(0)}, `^WARN  operators: google\.com`},
	} {
		e := examOf(t, c.lines, c.hosts, c.answers)
		judge(e)
		first, bad := e.report.First()
		if !bad {
			first = Line{}
		}
		if bad != (c.want != "") || bad && !regexp.MustCompile(c.want).MatchString(first.String()) {
			t.Errorf("%s: %v\n%v", c.name, first, e.report.Lines)
		}
	}
}

func TestAnswersFromTheWrongAddress(t *testing.T) {
	e := examOf(t, "", []string{"a.one.test"}, []probe.Answer{is(probe.NoAnswer)})
	e.sources[0].elsewhere[0] = netip.MustParseAddrPort("192.0.2.7:123")
	judge(e)
	if l, bad := e.report.First(); !bad || !strings.Contains(l.String(), "its answers come from 192.0.2.7:123 instead") {
		t.Errorf("%v", e.report.Lines)
	}
}

func TestNamesThatLeadHere(t *testing.T) {
	for host, bad := range map[string]bool{"pool.example.test": true, "localhost": false, "127.0.0.1": false} {
		e := examOf(t, "", []string{host}, nil)
		e.names()
		if _, got := e.report.First(); got != bad {
			t.Errorf("%s: %v", host, e.report.Lines)
		}
	}
	e := examOf(t, "", []string{"127.0.0.1"}, nil)
	e.cfg.Servers = []config.Server{{Listen: netip.MustParseAddrPort("0.0.0.0:123")}}
	e.names()
	if l, bad := e.report.First(); !bad || !strings.Contains(l.String(), "its own NTP server listens on 0.0.0.0:123") {
		t.Errorf("%v", e.report.Lines)
	}
}

func TestTheSameServerTwice(t *testing.T) {
	e := examOf(t, "", []string{"a.one.test", "b.two.test"}, []probe.Answer{says(0), says(0)})
	e.sources[1].found = e.sources[0].found
	e.operators()
	if l, bad := e.report.First(); !bad || !strings.Contains(l.String(), "is the same server as a.one.test") {
		t.Errorf("%v", e.report.Lines)
	}
}

func TestTooFewSourcesAreConfigured(t *testing.T) {
	e := examOf(t, "minimum-agreeing-sources = 2", []string{"a.one.test"}, nil)
	e.configured()
	if l, bad := e.report.First(); !bad || l.Status != Fail || !strings.Contains(l.Measured, "1 source is configured, and 2 must agree") {
		t.Errorf("%v", e.report.Lines)
	}
	e = examOf(t, "minimum-agreeing-sources = 2", []string{"a.one.test", "b.two.test"}, nil)
	e.configured()
	if len(e.report.Lines) != 0 {
		t.Errorf("%v", e.report.Lines)
	}
}

// Sources that cannot vote are not mended by more of them.
func TestNobodyMayVote(t *testing.T) {
	for _, n := range []int{1, 4} {
		e := examOf(t, `nts-selection = "require"`, []string{"a.one.test", "b.two.test", "c.three.test", "d.four.test"}[:n], nil)
		e.configured()
		if l, bad := e.report.First(); !bad || len(e.report.Lines) != 1 || l.Status != Fail || l.Subject != "test.toml:2:1" ||
			!strings.Contains(l.Measured, "no source with NTS is configured") || !strings.Contains(l.Expected, "nts or nts-pool") {
			t.Errorf("%d sources: %v", n, e.report.Lines)
		}
	}
	e := examOf(t, `nts-selection = "require"`, nil, nil)
	e.configured()
	if len(e.report.Lines) != 0 {
		t.Errorf("without sources there is nothing to ask for: %v", e.report.Lines)
	}
}

func TestRegistrable(t *testing.T) {
	for name, want := range map[string]string{
		"a.b.example.com": "example.com", "example.com.": "example.com", "ntp.example.co.uk": "example.co.uk", "Example.ORG": "example.org",
		"ntp.nic.cz": "ntp.nic.cz", "localhost": "", "time.cloudflare.com": "cloudflare.com",
	} {
		if got := registrable(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAClockBehindWhatIsSurelyOver(t *testing.T) {
	e := examOf(t, `state-path = ""`, nil, nil)
	e.Built = e.now.Add(30 * time.Second)
	e.clockPlausible()
	if e.report.Status != OK {
		t.Errorf("half a minute: %v", e.report.Lines)
	}
	e.report = &Report{}
	e.Built = e.now.Add(time.Hour)
	e.clockPlausible()
	if l, bad := e.report.First(); !bad || !strings.Contains(l.Measured, "1h0m0s before this program was built") {
		t.Errorf("%v", e.report.Lines)
	}
	e.report = &Report{}
	e.Built = e.now.Add(-21 * 365 * 24 * time.Hour)
	e.clockPlausible()
	if e.report.Status != Fail {
		t.Errorf("21 years later: %v", e.report.Lines)
	}
}

func TestCapability(t *testing.T) {
	const all = ^uint64(0)
	for _, c := range []struct {
		name  string
		lines string
		m     machine
		want  Status
	}{
		{"all there", "", machine{bounding: all, self: process{caps: all}}, OK},
		{"not in the bounding set", "", machine{bounding: all &^ capSysTime, self: process{uid: 5}}, Fail},
		{"root without it", "", machine{bounding: all}, Fail},
		{"a user, whose daemon may have it", "", machine{bounding: all, self: process{uid: 5}}, OK},
		{"the daemon without it", "", machine{bounding: all, ours: 3, self: process{caps: all}, processes: []process{{pid: 3, names: []string{"ntp-daemon"}}}}, Fail},
		{"the daemon with it", "", machine{bounding: all, ours: 3, processes: []process{{pid: 3, caps: capSysTime}}}, OK},
		{"in a user namespace", "", machine{bounding: all, inside: "this is a user namespace", self: process{caps: all}}, Fail},
		{"a daemon that was told to leave the clock alone", "", machine{bounding: 1, ours: 3, processes: []process{{pid: 3, names: []string{"ntp-daemon"}, args: []string{"ntp-daemon", "--no-clock"}}}}, OK},
		{"not wanted", "update-system-clock = false", machine{bounding: 1}, OK},
		{"no capabilities here", "", machine{}, OK},
	} {
		e := examOf(t, c.lines, []string{"a.test"}, nil)
		e.machine = &c.m
		e.capability()
		if e.report.Status != c.want {
			t.Errorf("%s: %v", c.name, e.report.Lines)
		}
	}
}

func TestClocksource(t *testing.T) {
	for current, want := range map[string]Status{"tsc": OK, "kvm-clock": OK, "hpet": Warn, "jiffies": Warn, "": OK} {
		e := examOf(t, "", nil, nil)
		e.machine.clock = clockSource{current: current, available: []string{"tsc", "hpet"}}
		e.clockSource()
		if e.report.Status != want {
			t.Errorf("%q: %v", current, e.report.Lines)
		}
		if l, bad := e.report.First(); bad && !strings.Contains(l.Fix, "echo tsc >") {
			t.Errorf("%q: %s", current, l.Fix)
		}
	}
}

func TestWhoIsWelcomeAtOurServer(t *testing.T) {
	home := netip.MustParseAddr("127.0.0.1")
	loop, other := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, c := range []struct {
		name string
		s    config.Server
		want bool
	}{
		{"no rules", config.Server{}, true},
		{"allowed", config.Server{Allowlist: config.AccessList{Filter: loop}}, true},
		{"not allowed", config.Server{Allowlist: config.AccessList{Filter: other}}, false},
		{"denied", config.Server{Denylist: config.AccessList{Filter: loop}}, false},
		{"NTS only", config.Server{RequireNTS: config.RequireDeny}, false},
	} {
		if welcome(&c.s, home) != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
	}
}

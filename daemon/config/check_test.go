package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestDerivedMinimum(t *testing.T) {
	for n, want := range []int{1, 1, 2, 2, 3, 3, 3, 3} {
		if got := Derived(n); got != want {
			t.Errorf("of %d sources %d must agree, want %d", n, got, want)
		}
	}
	source := func(mode, more string) string { return fmt.Sprintf("[[source]]\nmode = %q\n%s\n", mode, more) }
	one, pool := "address = \"a\"", "address = \"a\"\ncount = 2"
	device := "path = \"/x\"\nprecision = 1"
	for _, c := range []struct {
		text            string
		expected, least int
	}{
		{"", 0, 1},
		{source("server", one), 1, 1},
		{source("server", one) + source("nts", one), 2, 2},
		{source("server", one) + source("pool", pool), 3, 2},
		{source("nts-pool", pool) + source("pool", pool), 4, 3},
		{source("sock", device) + source("phc", device), 2, 2},
		{source("pps", device) + source("pps", device), 0, 1},
		{source("pps", device) + source("csptp", one), 1, 1},
		{source("pool", "address = \"a\"\ncount = 0"), 0, 1},
		{source("server", one) + "[synchronization]\nminimum-agreeing-sources = 5\n", 1, 5},
		{source("pool", "address = \"a\"\ncount = 200") + "[synchronization]\nminimum-agreeing-sources = 1\n", 200, 1},
	} {
		cfg := load(t, c.text)
		if cfg.Expected() != c.expected || cfg.Synchronization.MinimumAgreeingSources != c.least {
			t.Errorf("%s\nexpects %d sources, %d to agree; want %d, %d", c.text, cfg.Expected(), cfg.Synchronization.MinimumAgreeingSources, c.expected, c.least)
		}
	}
}

func TestWarnings(t *testing.T) {
	const one = "[[source]]\nmode = \"server\"\naddress = \"a\"\n"
	const server = "[[server]]\nlisten = \"0.0.0.0:123\"\n"
	for _, c := range []struct {
		name, text string
		fails      bool
		want       string
	}{
		{"nothing", "", false, "f: no sources are configured: the clock is never steered"},
		{"one source", one, false, ""},
		{"too few", one + "[synchronization]\nminimum-agreeing-sources = 2\n", true,
			"f:5:1: synchronization.minimum-agreeing-sources: the clock can never be steered: 2 must agree but no more than 1 are configured; add sources or lower it"},
		{"a pulse alone", "[[source]]\nmode = \"pps\"\npath = \"/dev/pps0\"\nprecision = 1e-7\n", true,
			"f:1:3: source: the clock can never be steered: no configured source has a vote; add one that is neither a pps nor an empty pool"},
		{"an empty pool that none must agree with", "[[source]]\nmode = \"pool\"\naddress = \"a\"\ncount = 0\n[synchronization]\nminimum-agreeing-sources = 0\n", true,
			"f:1:3: source: the clock can never be steered: no configured source has a vote; add one that is neither a pps nor an empty pool"},
		{"none with NTS where it is required", one + "[synchronization]\nnts-selection = \"require\"\n", true,
			"f:5:1: synchronization.nts-selection: the clock can never be steered: with \"require\" only sources with NTS have a vote, and none is configured; add one of mode nts or nts-pool, or write \"outvote\""},
		{"an empty pool with NTS where it is required", one + "[[source]]\nmode = \"nts-pool\"\naddress = \"b\"\ncount = 0\n[synchronization]\nnts-selection = \"require\"\n", true,
			"f:9:1: synchronization.nts-selection: the clock can never be steered: with \"require\" only sources with NTS have a vote, and none is configured; add one of mode nts or nts-pool, or write \"outvote\""},
		{"one with NTS where it is required", one + "[[source]]\nmode = \"nts\"\naddress = \"b\"\n[synchronization]\nnts-selection = \"require\"\n", false, ""},
		{"a pool with NTS where it is required", "[[source]]\nmode = \"nts-pool\"\naddress = \"b\"\n[synchronization]\nnts-selection = \"require\"\n", false, ""},
		{"none with NTS where it would outvote", one + "[synchronization]\nnts-selection = \"outvote\"\n", false, ""},
		{"one server twice", one + "[[source]]\nmode = \"server\"\naddress = \"A.:123\"\n", false,
			"f:6:1: source.address: A.:123 is already the source at line 1: one server would have two votes and agree with itself; remove one of them"},
		{"one server with NTS twice", "[[source]]\nmode = \"nts\"\naddress = \"b\"\n[[source]]\nmode = \"nts\"\naddress = \"b:4460\"\n", false,
			"f:6:1: source.address: b:4460 is already the source at line 1: one server would have two votes and agree with itself; remove one of them"},
		{"two ports", one + "[[source]]\nmode = \"server\"\naddress = \"a:124\"\n", false, ""},
		{"with NTS and without", one + "[[source]]\nmode = \"nts\"\naddress = \"a:123\"\n", false, ""},
		{"one pool twice", "[[source]]\nmode = \"pool\"\naddress = \"a\"\n[[source]]\nmode = \"pool\"\naddress = \"a\"\n", false, ""},
		{"a cold start by one key exchange server", "[[source]]\nmode = \"nts-pool\"\naddress = \"b\"\ncount = 4\n[synchronization]\nnts-cold-start = \"bounded\"\n", false,
			"f:6:1: synchronization.nts-cold-start: a clock that begins at a wrong date can never be set: 3 sources must agree, and the certificates of all that are configured hang on 1 key exchange servers; add sources with others, or lower minimum-agreeing-sources"},
		{"a cold start by one and plain ones", "[[source]]\nmode = \"nts-pool\"\naddress = \"b\"\n[[source]]\nmode = \"pool\"\naddress = \"a\"\n[synchronization]\nnts-cold-start = \"bounded\"\n", false, ""},
		{"a cold start by two", "[[source]]\nmode = \"nts\"\naddress = \"b\"\n[[source]]\nmode = \"nts\"\naddress = \"c\"\n[synchronization]\nnts-cold-start = \"bounded\"\n", false, ""},
		{"a cold start by who stands behind a service", "[[source]]\nmode = \"nts-pool\"\naddress = \"b\"\ncount = 4\nenable-srv-resolution = true\n[synchronization]\nnts-cold-start = \"bounded\"\n", false, ""},
		{"a strict one", "[[source]]\nmode = \"nts-pool\"\naddress = \"b\"\ncount = 4\n[synchronization]\nnts-cold-start = \"strict\"\n", false, ""},
		{"keys for nobody", one + ke, true,
			"f:4:3: nts-ke-server: sends clients to port 123 of this host for NTPv4, but no [[server]] listens there for it; add one, or set ntp-server or ntp-port"},
		{"keys for a server here", one + server + ke, false, ""},
		{"keys for another port", one + server + ke + "ntp-port = 124\n", true,
			"f:6:3: nts-ke-server: sends clients to port 124 of this host for NTPv4, but no [[server]] listens there for it; add one, or set ntp-server or ntp-port"},
		{"keys for a version that is not served", one + server + "accept-ntp-versions = [3]\n" + ke, true,
			"f:7:3: nts-ke-server: sends clients to port 123 of this host for NTPv4, but no [[server]] listens there for it; add one, or set ntp-server or ntp-port"},
		{"keys for a server elsewhere", one + ke + "ntp-server = \"b\"\n", false, ""},
		{"decimal permissions", one + "[observability]\nobservation-permissions = 666\n", false,
			"f:5:1: observability.observation-permissions: 666 is 0o1232 in octal; mode bits are written 0o666"},
		{"octal permissions", one + "[observability]\nobservation-permissions = 0o660\n", false, ""},
		{"first poll outside", "[[source]]\nmode = \"server\"\naddress = \"a\"\npoll-interval-limits = { min = 6 }\ninitial-poll-interval = 5\n", false,
			"f:5:1: source.initial-poll-interval: 5 is outside poll-interval-limits; taken as 6"},
		{"SRV records of an address", "[[source]]\nmode = \"nts\"\naddress = \"[2001:db8::1]\"\nenable-srv-resolution = true\n", false,
			`f:4:1: source.enable-srv-resolution: has no effect: "2001:db8::1" is an address, and only domains have SRV records`},
		{"inherited first poll outside", "[[source]]\nmode = \"server\"\naddress = \"a\"\npoll-interval-limits = { min = 6 }\n", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, problems := Parse("f", []byte(c.text))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(warned(cfg), "\n"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			fails := slices.ContainsFunc(cfg.Warnings, func(w Warning) bool { return w.FailsValidate })
			if fails != c.fails || len(cfg.Refusals()) == 0 && cfg.FailsValidate() != c.fails {
				t.Errorf("fails validation: %v", fails)
			}
		})
	}
}

func TestFirstPollIsFitted(t *testing.T) {
	c := load(t, "[source-defaults]\npoll-interval-limits = { min = 1, max = 3 }\n[[source]]\nmode = \"server\"\naddress = \"a\"\n"+
		"[[source]]\nmode = \"server\"\naddress = \"b\"\npoll-interval-limits = { min = 6, max = 7 }\n")
	if c.SourceDefaults.Poll != (Poll{1, 3, 3}) || c.Sources[0].Poll != (Poll{1, 3, 3}) || c.Sources[1].Poll != (Poll{6, 7, 6}) {
		t.Errorf("polls are %v, %v, %v", c.SourceDefaults.Poll, c.Sources[0].Poll, c.Sources[1].Poll)
	}
}

func TestPollMayBeFixed(t *testing.T) {
	c := load(t, "[source-defaults]\npoll-interval-limits = { min = 6, max = 6 }\n")
	if c.SourceDefaults.Poll != (Poll{6, 6, 6}) {
		t.Errorf("poll is %v", c.SourceDefaults.Poll)
	}
}

func TestModeWarning(t *testing.T) {
	if w, yes := ModeWarning("/etc/ntp.toml", 0o646); !yes || w.String() != "/etc/ntp.toml: unrestricted config file permissions: others can write it; run chmod o-w" {
		t.Errorf("0646 gives %v, %q", yes, w)
	}
	if w, yes := ModeWarning("/etc/ntp.toml", 0o664); yes {
		t.Errorf("0664 gives %q", w)
	}
}

// TestUnbuilt names what this version cannot do, and what the daemon refuses to ignore.
func TestUnbuilt(t *testing.T) {
	c := load(t, everything+"[[source]]\nmode = \"server\"\naddress = \"e\"\nntp-version = 5\n[[server]]\nlisten = \"[::]:124\"\naccept-ntp-versions = [5]\n"+
		strings.Replace(ke, "4460", "4461", 1)+"accept-ntp-versions = [4, 5]\n")
	want := `ntp.toml:26:1: source.ntp-version: NTPv5 is not built yet, so "auto" settles on 4 with every server | nothing
ntp.toml:29:1: source.mode: sources of a local device (sock, pps, phc) are not built yet; remove the source | what is steered
ntp.toml:35:1: source.mode: sources of a local device (sock, pps, phc) are not built yet; remove the source | what is steered
ntp.toml:41:1: source.mode: sources of a local device (sock, pps, phc) are not built yet; remove the source | what is steered
ntp.toml:46:1: source.mode: client-server PTP is not built yet; remove the source | what is steered
ntp.toml:93:1: synchronization.algorithm.precision-low-probability: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:94:1: synchronization.algorithm.precision-high-probability: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:95:1: synchronization.algorithm.precision-hysteresis: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:96:1: synchronization.algorithm.precision-minimum-weight: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:97:1: synchronization.algorithm.poll-interval-low-weight: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:98:1: synchronization.algorithm.poll-interval-high-weight: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:99:1: synchronization.algorithm.poll-interval-hysteresis: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:100:1: synchronization.algorithm.poll-interval-step-threshold: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:101:1: synchronization.algorithm.delay-outlier-threshold: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:107:1: synchronization.algorithm.steer-offset-threshold: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:108:1: synchronization.algorithm.steer-offset-leftover: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:109:1: synchronization.algorithm.steer-frequency-threshold: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:110:1: synchronization.algorithm.steer-frequency-leftover: has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it | nothing
ntp.toml:134:1: clock.clock: steering a PTP hardware clock is not built yet; remove the key | what is steered
ntp.toml:135:1: clock.interface: binding to an interface is not built yet; remove the key | what is asked
ntp.toml:136:1: clock.timestamp-mode: hardware timestamps are not built yet: the kernel stamps packets, as ntpd-rs has it without an interface | nothing
ntp.toml:139:1: csptp.identity: client-server PTP is not built yet; the key has no effect | nothing
ntp.toml:140:1: csptp.priority_1: client-server PTP is not built yet; the key has no effect | nothing
ntp.toml:141:1: csptp.priority_2: client-server PTP is not built yet; the key has no effect | nothing
ntp.toml:142:1: csptp.clock_quality: client-server PTP is not built yet; the key has no effect | nothing
ntp.toml:143:1: csptp.ptp_timescale: client-server PTP is not built yet; the key has no effect | nothing
ntp.toml:144:1: csptp.time_traceable: client-server PTP is not built yet; the key has no effect | nothing
ntp.toml:145:1: csptp.frequency_traceable: client-server PTP is not built yet; the key has no effect | nothing
ntp.toml:147:3: csptp-server: client-server PTP is not built yet; remove [[csptp-server]] | what is served
ntp.toml:159:1: source.ntp-version: NTPv5 is not built yet; write 4 or "auto" | what is asked
ntp.toml:162:1: server.accept-ntp-versions: NTPv5 is not built yet; remove 5 from the list | what is served
ntp.toml:167:1: nts-ke-server.accept-ntp-versions: NTPv5 is not built yet; remove 5 from the list | what is served
`
	var got strings.Builder
	for _, u := range c.Unbuilt {
		fmt.Fprintln(&got, u, "|", u.Effect)
	}
	if got.String() != want {
		t.Errorf("got\n%s", got.String())
	}
	if n := len(c.Refusals()); n != 10 || !c.FailsValidate() {
		t.Errorf("%d refusals, fails validation: %v", n, c.FailsValidate())
	}
}

func TestCoarserStampsAreNamed(t *testing.T) {
	for _, mode := range []string{"software", "kernel-recv"} {
		c := load(t, "[clock]\ntimestamp-mode = \""+mode+"\"\n")
		if len(c.Unbuilt) != 1 || len(c.Refusals()) != 0 || c.Unbuilt[0].Key != "clock.timestamp-mode" {
			t.Errorf("%s: unbuilt %v", mode, c.Unbuilt)
		}
	}
}

func TestAutoVersionIsNotRefused(t *testing.T) {
	c := load(t, "[[source]]\nmode = \"server\"\naddress = \"a\"\nntp-version = \"auto\"\n")
	if len(c.Unbuilt) != 1 || len(c.Refusals()) != 0 || c.FailsValidate() {
		t.Errorf("unbuilt %v, refused %v", c.Unbuilt, c.Refusals())
	}
}

// What is built, written out as its default, is not called unbuilt.
func TestBuiltValuesAreNotNamed(t *testing.T) {
	c := load(t, "[[source]]\nmode = \"nts\"\naddress = \"a\"\nenable-srv-resolution = true\nntp-version = 4\n[[server]]\nlisten = \"[::]:123\"\naccept-ntp-versions = [3, 4]\n[clock]\ntimestamp-mode = \"kernel-all\"\n"+ke+"accept-ntp-versions = [4]\n")
	if len(c.Unbuilt) != 0 || len(c.Warnings) != 0 {
		t.Errorf("unbuilt %v, warnings %v", c.Unbuilt, c.Warnings)
	}
}

func TestPortZeroMayBeSharedInTheFile(t *testing.T) {
	c := load(t, "[[server]]\nlisten = \"127.0.0.1:0\"\n[[server]]\nlisten = \"127.0.0.1:0\"\n")
	if len(c.Servers) != 2 {
		t.Errorf("servers are %v", c.Servers)
	}
	if _, problems := Parse("f", []byte("[[server]]\n[[server]]\n")); len(problems) != 2 {
		t.Errorf("two sections without an address give %v", problems)
	}
}

func TestWithout(t *testing.T) {
	const three = "[[source]]\nmode = \"server\"\naddress = \"a.test\"\n[[source]]\nmode = \"server\"\naddress = \"b.test\"\n[[source]]\nmode = \"server\"\naddress = \"c.test\"\n"
	for _, c := range []struct {
		text string
		gone string
		want string
		need int
	}{
		{three, "b.test", "a.test c.test", 2},
		{three, "x.test", "a.test b.test c.test", 2},
		{three + "[synchronization]\nminimum-agreeing-sources = 3\n", "b.test", "a.test c.test", 3},
	} {
		cfg := load(t, c.text)
		cfg.Without(func(s *Source) bool { return s.Address.Host == c.gone })
		var names []string
		for i := range cfg.Sources {
			names = append(names, cfg.Sources[i].Address.Host)
		}
		if got := strings.Join(names, " "); got != c.want || cfg.Synchronization.MinimumAgreeingSources != c.need {
			t.Errorf("without %s: %s, %d must agree", c.gone, got, cfg.Synchronization.MinimumAgreeingSources)
		}
	}
}

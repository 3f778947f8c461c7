// Package hardening checks what deploy hands to service managers and to
// AppArmor: that it stays as strict as it is.
package hardening

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const deploy = "../../deploy"

// everyUnit has these directives, whatever else it needs.
var everyUnit = []string{
	"NoNewPrivileges=yes", "UMask=0077", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateMounts=yes",
	"PrivateDevices=yes", "ProtectProc=invisible", "ProtectHostname=yes", "ProtectKernelTunables=yes",
	"ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectControlGroups=yes", "RestrictNamespaces=yes",
	"RestrictRealtime=yes", "RestrictSUIDSGID=yes", "LockPersonality=yes", "MemoryDenyWriteExecute=yes", "RemoveIPC=yes",
	"KeyringMode=private", "SystemCallArchitectures=native", "SystemCallErrorNumber=EPERM", "LimitCORE=0",
}

// units are those that there are, with what is theirs alone, and the highest
// score of systemd-analyze security, which counts what is left open, from 0 to
// 10: what docs/security/hardening.md says of them.
var units = map[string]struct {
	directives []string
	exposure   float64
}{
	"ntp-daemon.service": {[]string{
		"CapabilityBoundingSet=CAP_SYS_TIME CAP_NET_BIND_SERVICE", "AmbientCapabilities=CAP_SYS_TIME CAP_NET_BIND_SERVICE",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK", "StateDirectory=ntpd-rs",
		"RestartPreventExitStatus=64 70 77 78", "User=ntpd-rs",
	}, 2.1},
	"ntp-metrics-exporter.service": {[]string{
		"CapabilityBoundingSet=", "AmbientCapabilities=", "PrivateUsers=yes", "ProtectClock=yes",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "IPAddressDeny=any", "User=ntpd-rs-observe",
	}, 1.0},
	"nts-pool-ke.service": {[]string{
		"CapabilityBoundingSet=", "AmbientCapabilities=", "PrivateUsers=yes", "ProtectClock=yes",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "User=nts-pool-ke",
	}, 1.2},
}

func TestUnits(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deploy, "systemd", "*.service"))
	if err != nil || len(files) < len(units) {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		want, known := units[name]
		if !known {
			t.Errorf("%s is not in the list here", name)
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(content), "\n")
		has := map[string]bool{}
		for _, l := range lines {
			has[l] = true
		}
		for _, d := range append(want.directives, everyUnit...) {
			if !has[d] {
				t.Errorf("%s lacks %s", name, d)
			}
		}
	}
}

var overall = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+) `)

func TestExposure(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for name, want := range units {
		file := filepath.Join(deploy, "systemd", name)
		out, err := exec.Command(analyze, "security", "--no-pager", "--offline=true", file).CombinedOutput()
		m := overall.FindSubmatch(out)
		if m == nil {
			t.Skipf("systemd-analyze cannot judge a file: %v\n%s", err, out)
		}
		score, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil || score > want.exposure {
			t.Errorf("%s: exposure %v, want at most %v (%v)", name, score, want.exposure, err)
		}
		t.Logf("%s: exposure %v", name, score)
	}
}

// sockets are the units that open sockets, with what they must say.
var sockets = map[string][]string{
	"ntp-daemon.socket": {
		"ListenDatagram=0.0.0.0:123", "ListenDatagram=[::]:123", "BindIPv6Only=ipv6-only", "PassPacketInfo=yes", "Service=ntp-daemon.service",
	},
	"ntp-daemon-ke.socket": {"ListenStream=[::]:4460", "BindIPv6Only=both", "Service=ntp-daemon.service"},
}

func TestSocketUnits(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deploy, "systemd", "*.socket"))
	if err != nil || len(files) != len(sockets) {
		t.Fatalf("%v, %v", files, err)
	}
	for name, want := range sockets {
		content, err := os.ReadFile(filepath.Join(deploy, "systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(content), "\n")
		for _, d := range want {
			if !slices.Contains(lines, d) {
				t.Errorf("%s lacks %s", name, d)
			}
		}
	}
}

// TestUnitsAreUnderstood: systemd knows every directive.
func TestUnitsAreUnderstood(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(units)), slices.Collect(maps.Keys(sockets))) {
		out, _ := exec.Command(analyze, "verify", filepath.Join(deploy, "systemd", name)).CombinedOutput()
		for line := range strings.SplitSeq(string(out), "\n") {
			if strings.Contains(line, name) && !strings.Contains(line, "is not executable") && strings.Contains(line, "nknown") {
				t.Error(line)
			}
		}
	}
}

// TestAppArmorProfiles: their syntax is right, as far as the parser can tell
// without a kernel that enforces them.
func TestAppArmorProfiles(t *testing.T) {
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		t.Skip("apparmor_parser is not installed")
	}
	if _, err := os.Stat("/etc/apparmor.d/abi/3.0"); err != nil {
		t.Skip("the abstractions of AppArmor are not installed")
	}
	files, err := filepath.Glob(filepath.Join(deploy, "apparmor", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	check := func(file string) ([]byte, error) {
		return exec.Command(parser, "--skip-kernel-load", "--skip-cache", file).CombinedOutput()
	}
	for _, file := range files {
		if out, err := check(file); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(file), err, out)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		broken := filepath.Join(t.TempDir(), "broken")
		if err := os.WriteFile(broken, append(content, "capability no_such_thing,\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := check(broken); err == nil {
			t.Error("the parser lets everything pass")
		}
	}
}

package assemble

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Every key of [synchronization.algorithm] either reaches the filter or is
// named as one without effect: none is silently ignored.
func TestEveryAlgorithmKeyIsPassedOnOrNamed(t *testing.T) {
	seen := 0
	for _, k := range config.Keys() {
		name, ok := strings.CutPrefix(k.Key, "synchronization.algorithm.")
		if !ok {
			continue
		}
		seen++
		value := "1"
		if strings.HasPrefix(k.Form, "true") {
			value = "true"
		}
		text := fmt.Sprintf("[[source]]\nmode = \"server\"\naddress = \"a.test\"\n[synchronization.algorithm]\n%s = %s\n", name, value)
		cfg, problems := config.Parse("ntp.toml", []byte(text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		passed := !reflect.DeepEqual(discipline(&cfg.Synchronization).Algorithm, kalman.Algorithm{})
		named := len(cfg.Unbuilt) == 1 && cfg.Unbuilt[0].Key == k.Key
		if passed == named {
			t.Errorf("%s: reaches the filter %v, named as without effect %v", name, passed, named)
		}
	}
	if seen != 24 {
		t.Errorf("%d keys instead of 24", seen)
	}
}

func TestEngineConfig(t *testing.T) {
	cfg, problems := config.Parse("ntp.toml", []byte(`
[[source]]
mode = "nts-pool"
address = "pool.test"
count = 2
certificate-authority = "ca.pem"
enable-srv-resolution = true
poll-interval-limits = { min = 5, max = 9 }
initial-poll-interval = 6
[[source]]
mode = "server"
address = "[2001:db8::1]:1123"
[synchronization]
single-step-panic-threshold = 10
startup-step-panic-threshold = { forward = "inf", backward = 20 }
accumulated-step-panic-threshold = 30
local-stratum = 5
reference-id = "GPS"
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := Engine(cfg)
	want := engine.Config{
		Sources: []engine.Source{
			{Name: "pool.test:4460", Mode: engine.ModeNTSPool, Host: "pool.test", Port: 4460, Count: 2, Authority: "ca.pem", SRV: true, PollMin: 5, PollMax: 9, PollStart: 6},
			{Name: "[2001:db8::1]:1123", Mode: engine.ModeServer, Host: "2001:db8::1", Port: 1123, PollMin: 4, PollMax: 10, PollStart: 4},
		},
		LocalStratum: 5, ReferenceID: proto.RefIDText("GPS "), Steering: true, WarnOnJump: true, KeepSessions: true,
		Discipline: kalman.Config{
			MinimumAgreeing: 2, LocalStratum: 5, // of three sources
			SingleStep:       kalman.Threshold{Forward: 10 * proto.Second, Backward: 10 * proto.Second},
			StartupStep:      kalman.Threshold{Forward: proto.MaxDuration, Backward: 20 * proto.Second},
			AccumulatedSteps: 30 * proto.Second,
		},
	}
	got.Sources[1].Count = 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNTSSelection(t *testing.T) {
	for text, want := range map[string]kalman.Trust{
		"":                          kalman.TrustOutvotes,
		`nts-selection = "outvote"`: kalman.TrustOutvotes,
		`nts-selection = "require"`: kalman.TrustRequired,
		`nts-selection = "equal"`:   kalman.TrustIgnored,
	} {
		cfg, problems := config.Parse("ntp.toml", []byte("[synchronization]\n"+text+"\n"))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := Engine(cfg).Discipline.Trust; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestNTSColdStart(t *testing.T) {
	for text, want := range map[string]bool{"": false, `nts-cold-start = "strict"`: false, `nts-cold-start = "bounded"`: true} {
		cfg, problems := config.Parse("ntp.toml", []byte("[synchronization]\n"+text+"\n"))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := Engine(cfg).BoundedColdStart; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestWatchdog(t *testing.T) {
	for text, want := range map[string]engine.Watchdog{
		"":                            {},
		`watchdog-pool = ""`:          {},
		`watchdog-pool = "pool.test"`: {Host: "pool.test", Port: 123},
		"watchdog-pool = \"pool.test\"\nwatchdog-action = \"hold\"": {Host: "pool.test", Port: 123, Hold: true},
	} {
		cfg, problems := config.Parse("ntp.toml", []byte("[synchronization]\n"+text+"\n"))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := Engine(cfg).Watchdog; got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	if _, problems := config.Parse("ntp.toml", []byte("[synchronization]\nwatchdog-pool = \"pool.test:123\"\n")); len(problems) != 1 {
		t.Errorf("a port is taken: %v", problems)
	}
}

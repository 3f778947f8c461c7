package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// plain takes positions and warnings out of a configuration so that two can be compared.
func plain(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Table]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				plain(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			plain(v.Index(i))
		}
	}
}

func stripped(c *Config) *Config {
	c.Warnings = nil
	for i := range c.Unbuilt {
		c.Unbuilt[i].Pos = Pos{}
	}
	for i := range c.Sources {
		c.Sources[i].limits.Table = Table{}
	}
	c.SourceDefaults.limits.Table = Table{}
	plain(reflect.ValueOf(c).Elem())
	return c
}

func TestOlderSpellings(t *testing.T) {
	for _, o := range []struct{ name, old, today, warnings string }{
		{"sources",
			"[[peer]]\nmode = \"NtsServer\"\nke-addr = \"a\"\ncertificates = \"ca\"\n[[peer]]\naddr = \"b\"\n[[peer]]\nmode = \"Pool\"\naddr = \"c\"\nmax-peers = 3\n[[peer]]\nmode=\"nts-server\"\naddress=\"d\"\n",
			"[[source]]\nmode = \"nts\"\naddress = \"a\"\ncertificate-authority = \"ca\"\n[[source]]\nmode = \"server\"\naddress = \"b\"\n[[source]]\nmode = \"pool\"\naddress = \"c\"\ncount = 3\n[[source]]\nmode=\"nts\"\naddress=\"d\"\n",
			`f:1:3: source: peer is an older spelling; write source
f:2:8: source.mode: "NtsServer" is an older name; write "nts"
f:3:1: source.address: ke-addr is an older spelling; write address
f:4:1: source.certificate-authority: certificates is an older spelling; write certificate-authority
f:5:3: source.mode: a [[peer]] without a mode is an older form; write mode = "server"
f:6:1: source.address: addr is an older spelling; write address
f:8:8: source.mode: "Pool" is an older name; write "pool"
f:9:1: source.address: addr is an older spelling; write address
f:10:1: source.count: max-peers is an older spelling; write count
f:12:6: source.mode: "nts-server" is an older name; write "nts"`},
		{"servers",
			"[[servers]]\naddr = \"[::]:123\"\nallowlist = [\"10.0.0.0/8\"]\nallowlist-action = \"Deny\"\ndenylist = [\"192.0.2.0/24\"]\n[[servers]]\nlisten = \"[::]:124\"\ndenylist = { filter = [], action = \"Ignore\" }\n",
			"[[server]]\nlisten = \"[::]:123\"\nallowlist = { filter = [\"10.0.0.0/8\"], action = \"deny\" }\ndenylist = { filter = [\"192.0.2.0/24\"], action = \"deny\" }\n[[server]]\nlisten = \"[::]:124\"\ndenylist = { filter = [], action = \"ignore\" }\n",
			`f:1:3: server: servers is an older spelling; write server
f:2:1: server.listen: addr is an older spelling; write listen
f:3:1: server.allowlist: a bare list is an older form; write allowlist = { filter = [ … ], action = "deny" }
f:4:20: server.allowlist.action: "Deny" is an older spelling; write "deny"
f:5:1: server.denylist: a bare list is an older form; write denylist = { filter = [ … ], action = "deny" }
f:8:36: server.denylist.action: "Ignore" is an older spelling; write "ignore"`},
		{"key exchange",
			"[nts-ke]\naddr = \"[::]:4460\"\ncert-chain-path = \"c\"\nkey-der-path = \"k\"\ntimeout-ms = 5\nntp-server = \"a\"\n[keyset]\nold-keys = 3\nrotation-interval = 60\nstorage-path = \"s\"\n",
			"[[nts-ke-server]]\nlisten = \"[::]:4460\"\ncertificate-chain-path = \"c\"\nprivate-key-path = \"k\"\nkey-exchange-timeout-ms = 5\nntp-server = \"a\"\n[keyset]\nstale-key-count = 3\nkey-rotation-interval = 60\nkey-storage-path = \"s\"\n",
			`f:1:2: nts-ke-server: [nts-ke] is an older form; write [[nts-ke-server]]
f:1:2: nts-ke-server: nts-ke is an older spelling; write nts-ke-server
f:2:1: nts-ke-server.listen: addr is an older spelling; write listen
f:3:1: nts-ke-server.certificate-chain-path: cert-chain-path is an older spelling; write certificate-chain-path
f:4:1: nts-ke-server.private-key-path: key-der-path is an older spelling; write private-key-path
f:5:1: nts-ke-server.key-exchange-timeout-ms: timeout-ms is an older spelling; write key-exchange-timeout-ms
f:8:1: keyset.stale-key-count: old-keys is an older spelling; write stale-key-count
f:9:1: keyset.key-rotation-interval: rotation-interval is an older spelling; write key-rotation-interval
f:10:1: keyset.key-storage-path: storage-path is an older spelling; write key-storage-path`},
		{"system",
			"[system]\nmin-intersection-survivors = 2\npanic-threshold = 5\nstartup-panic-threshold = 6\naccumulated-threshold = 7\nlocal-stratum = 4\npoll-limits = { min = 5, max = 6 }\ninitial-poll = 5\njump-threshold = 8\nslew-max-frequency-offset = 9\nslew-min-duration = 10\nmax-frequency-steer = 11\nmax-peer-uncertainty = 12\nprecision-min-weight = 0.5\npoll-low-weight = 0.6\npoll-high-weight = 0.7\npoll-hysteresis = 8\npoll-jump-threshold = 0.9\n",
			"[source-defaults]\npoll-interval-limits = { min = 5, max = 6 }\ninitial-poll-interval = 5\n[synchronization]\nminimum-agreeing-sources = 2\nsingle-step-panic-threshold = 5\nstartup-step-panic-threshold = 6\naccumulated-step-panic-threshold = 7\nlocal-stratum = 4\n[synchronization.algorithm]\nstep-threshold = 8\nslew-maximum-frequency-offset = 9\nslew-minimum-duration = 10\nmaximum-frequency-steer = 11\nmaximum-source-uncertainty = 12\nprecision-minimum-weight = 0.5\npoll-interval-low-weight = 0.6\npoll-interval-high-weight = 0.7\npoll-interval-hysteresis = 8\npoll-interval-step-threshold = 0.9\n",
			`f:1:2: synchronization: system is an older spelling; write synchronization
f:2:1: synchronization.minimum-agreeing-sources: min-intersection-survivors is an older spelling; write minimum-agreeing-sources
f:3:1: synchronization.single-step-panic-threshold: panic-threshold is an older spelling; write single-step-panic-threshold
f:4:1: synchronization.startup-step-panic-threshold: startup-panic-threshold is an older spelling; write startup-step-panic-threshold
f:5:1: synchronization.accumulated-step-panic-threshold: accumulated-threshold is an older spelling; write accumulated-step-panic-threshold
f:7:1: source-defaults.poll-interval-limits: system.poll-limits is an older spelling; write source-defaults.poll-interval-limits
f:8:1: source-defaults.initial-poll-interval: system.initial-poll is an older spelling; write source-defaults.initial-poll-interval
f:9:1: synchronization.algorithm.step-threshold: system.jump-threshold is an older spelling; write synchronization.algorithm.step-threshold
f:10:1: synchronization.algorithm.slew-maximum-frequency-offset: system.slew-max-frequency-offset is an older spelling; write synchronization.algorithm.slew-maximum-frequency-offset
f:11:1: synchronization.algorithm.slew-minimum-duration: system.slew-min-duration is an older spelling; write synchronization.algorithm.slew-minimum-duration
f:12:1: synchronization.algorithm.maximum-frequency-steer: system.max-frequency-steer is an older spelling; write synchronization.algorithm.maximum-frequency-steer
f:13:1: synchronization.algorithm.maximum-source-uncertainty: system.max-peer-uncertainty is an older spelling; write synchronization.algorithm.maximum-source-uncertainty
f:14:1: synchronization.algorithm.precision-minimum-weight: system.precision-min-weight is an older spelling; write synchronization.algorithm.precision-minimum-weight
f:15:1: synchronization.algorithm.poll-interval-low-weight: system.poll-low-weight is an older spelling; write synchronization.algorithm.poll-interval-low-weight
f:16:1: synchronization.algorithm.poll-interval-high-weight: system.poll-high-weight is an older spelling; write synchronization.algorithm.poll-interval-high-weight
f:17:1: synchronization.algorithm.poll-interval-hysteresis: system.poll-hysteresis is an older spelling; write synchronization.algorithm.poll-interval-hysteresis
f:18:1: synchronization.algorithm.poll-interval-step-threshold: system.poll-jump-threshold is an older spelling; write synchronization.algorithm.poll-interval-step-threshold`},
		{"observe", "[observe]\npath = \"p\"\nmode = 0o600\n", "[observability]\nobservation-path = \"p\"\nobservation-permissions = 0o600\n",
			`f:1:2: observability: observe is an older spelling; write observability
f:2:1: observability.observation-path: path is an older spelling; write observation-path
f:3:1: observability.observation-permissions: mode is an older spelling; write observation-permissions`},
		{"algorithm keys of a development version", "[synchronization]\nstep_threshold = 1\n", "[synchronization.algorithm]\nstep-threshold = 1\n",
			"f:2:1: synchronization.algorithm.step-threshold: synchronization.step_threshold is an older spelling; write synchronization.algorithm.step-threshold"},
		{"underscores", "[source_defaults]\npoll_interval_limits = { min = 5, max = 6 }\n[synchronization]\nsingle_step_panic_threshold = 1\n",
			"[source-defaults]\npoll-interval-limits = { min = 5, max = 6 }\n[synchronization]\nsingle-step-panic-threshold = 1\n",
			`f:1:2: source-defaults: source_defaults is an older spelling; write source-defaults
f:2:1: source-defaults.poll-interval-limits: poll_interval_limits is an older spelling; write poll-interval-limits
f:4:1: synchronization.single-step-panic-threshold: single_step_panic_threshold is an older spelling; write single-step-panic-threshold`},
	} {
		t.Run(o.name, func(t *testing.T) {
			old, problems := Parse("f", []byte(o.old))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, w := range old.Warnings {
				if !w.Info && !w.FailsValidate {
					lines = append(lines, w.String())
				}
			}
			if got := strings.Join(lines, "\n"); got != o.warnings {
				t.Errorf("warnings are\n%s\nwant\n%s", got, o.warnings)
			}
			today, problems := Parse("f", []byte(o.today))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			if a, b := stripped(old), stripped(today); !reflect.DeepEqual(a, b) {
				t.Errorf("it loads as\n%+v\nand not as\n%+v", a, b)
			}
		})
	}
}

func TestMeasurementNoiseEstimate(t *testing.T) {
	c := load(t, "[[source]]\nmode = \"sock\"\npath = \"/x\"\nmeasurement_noise_estimate = 4e-6\n")
	if got := c.Sources[0].Precision; got != 2e-3 {
		t.Errorf("the root of 4e-6 is %g", got)
	}
	if got := warned(c); !slices.Equal(got, []string{"ntp.toml:4:1: source.measurement_noise_estimate: is an older form; write precision, its square root"}) {
		t.Errorf("warnings are %q", got)
	}
}

func TestDistanceStopsAtItsLimit(t *testing.T) {
	for _, d := range [][2]string{{"a", "abcdef"}, {"abcdef", "a"}} {
		if got := distance(d[0], d[1], 2); got != 3 {
			t.Errorf("%q to %q is %d", d[0], d[1], got)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, d := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"listen", "listen", 0}, {"lisetn", "listen", 1}, {"listn", "listen", 1}, {"listten", "listen", 1}, {"lizten", "listen", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(d.a, d.b, 9); got != d.want {
			t.Errorf("%q to %q is %d, want %d", d.a, d.b, got, d.want)
		}
		if got := distance(d.b, d.a, 9); got != d.want {
			t.Errorf("%q to %q is %d, want %d", d.b, d.a, got, d.want)
		}
	}
}

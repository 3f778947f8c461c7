package config

import (
	"strings"
	"testing"
)

// bad lists faulty files and, line by line, everything that is said about them.
var bad = []struct {
	name, text, want string
}{
	// TOML itself
	{"no value", "[keyset]\nstale-key-count =\n", "f:2:18: this is not TOML: unexpected character U+000A at start of value; the value is missing"},
	{"no quotes", "[observability]\nlog-level = info\n", `f:2:16: this is not TOML: expected newline but got U+006F 'o'; one key = value a line, text in "quotes"`},
	{"unclosed string", "[observability]\nlog-path = \"x\n[keyset]\nstale-key-count = true\n",
		"f:2:14: this is not TOML: basic strings cannot have new lines; correct this line\n" +
			"f:4:19: keyset.stale-key-count: expected an integer from 0 to 65535, found true"},
	{"unclosed header", "[[server]\nlisten = 3\n[keyset]\nkeys = 1\n",
		"f:1:9: this is not TOML: expected ']]' to close array table name; correct this line\n" +
			"f:4:1: keyset.keys: unknown key; known here: stale-key-count, key-rotation-interval, key-storage-path"},
	{"unclosed array", "[[source]]\nmode = \"pool\"\naddress = \"a\"\nignore = [\n  \"192.0.2.1\",\n\n[keyset]\nkey = 1\n",
		"f:7:2: this is not TOML: unexpected character U+006B 'k' at start of value; perhaps what begins at line 4 is not closed\n" +
			"f:8:1: keyset.key: unknown key; known here: stale-key-count, key-rotation-interval, key-storage-path"},
	{"unclosed at the end", "[keyset]\n\nkey-storage-path = '''\nx\n[clock]\ntimestamp = 1\n",
		"f:3:1: this is not TOML: multiline literal string not terminated by '''; close what begins here\n" +
			"f:5:2: clock.timestamp-mode: is missing; add timestamp-mode = \"software\", \"kernel-recv\", \"kernel-all\" or \"hardware\"\n" +
			"f:6:1: clock.timestamp: unknown key; known here: clock, interface, timestamp-mode"},
	{"several on lines of their own", "[keyset]\nstale-key-count = 7x\nkey-rotation-interval = 01\nkey-storage-path = 3\n",
		"f:2:20: this is not TOML: strings must be quoted; put text in \"quotes\"\n" +
			"f:3:25: this is not TOML: integers cannot have leading zeroes; correct this line\n" +
			"f:4:20: keyset.key-storage-path: expected a string, found 3; write it in quotes"},
	{"a broken line may hold the missing key", "[[source]]\nmode = \"server\"\naddress = a.b\n",
		`f:3:11: this is not TOML: unexpected character U+0061 'a' at start of value; put text in "quotes"`},
	{"integer of 65 bits", "[keyset]\nstale-key-count = 99999999999999999999\n",
		"f:2:19: keyset.stale-key-count: the integer 99999999999999999999 is too large; TOML integers have 64 bits"},
	{"float beyond all", "[synchronization]\nsingle-step-panic-threshold = 1e999\n",
		"f:2:31: synchronization.single-step-panic-threshold: the number 1e999 is too large"},
	{"byte order mark", "\ufeff[keyset]\nx = 1\n", "f:2:1: keyset.x: unknown key; known here: stale-key-count, key-rotation-interval, key-storage-path"},
	{"carriage returns", "[keyset]\r\n\r\nstale-key-count = \"7\"\r\n",
		`f:3:19: keyset.stale-key-count: expected an integer from 0 to 65535, found a string "7"; write it without quotes`},

	// keys twice and tables twice
	{"key twice", "[keyset]\nstale-key-count = 7\nstale-key-count = 7\n", "f:3:1: keyset.stale-key-count: written twice, first at line 2; keep one of them"},
	{"table twice", "[keyset]\nstale-key-count = 7\n[clock]\ntimestamp-mode = \"software\"\n[keyset]\nstale-key-count = 8\n",
		"f:5:2: keyset: written twice, first at line 1; join the two\nf:6:1: keyset.stale-key-count: written twice, first at line 2; keep one of them"},
	{"table and array", "[keyset]\n[[keyset]]\n", "f:2:3: keyset: is written as [[keyset]] here but otherwise at line 1; use one form"},
	{"array and table", "[[server]]\nlisten = \"[::]:123\"\n[server]\n", "f:3:2: server: is written as [server] here but as [[server]] at line 1; use double brackets for each"},
	{"table over an array", "server = []\n[server]\n", "f:2:2: server: written twice, first at line 1; keep one of them"},
	{"table in an array", "server = []\n[server.allowlist]\n", "f:2:2: server: is not a table that can hold more: it is written at line 1; write the keys there"},
	{"table over a value", "keyset = 3\n[keyset]\n[keyset.x]\n",
		"f:1:10: keyset: expected a table, found 3; write [keyset]\n" +
			"f:2:2: keyset: written twice, first at line 1; keep one of them\n" +
			"f:3:2: keyset: is not a table that can hold more: it is written at line 1; write the keys there"},
	{"dotted into a table", "[synchronization.algorithm]\n[synchronization]\nalgorithm.step-threshold = 1\n",
		"f:3:1: synchronization.algorithm: cannot be extended with a dotted key: it is already written at line 1; write the key in one place"},
	{"inline tables are closed", "keyset = { stale-key-count = 3 }\nkeyset.key-storage-path = \"x\"\n",
		"f:2:1: keyset: cannot be extended with a dotted key: it is already written at line 1; write the key in one place"},

	// names
	{"misspelt", "[[server]]\nlisetn = \"[::]:123\"\n", "f:2:1: server.lisetn: unknown key; did you mean listen?"},
	{"case", "[[server]]\nListen = \"[::]:123\"\n", "f:2:1: server.Listen: unknown key; keys are case-sensitive: write listen"},
	{"table misspelt", "[[sevrer]]\nlisten = \"[::]:123\"\n", "f:1:3: sevrer: unknown key; did you mean server?"},
	{"in the wrong table", "[keyset]\nlog-level = \"info\"\n", "f:2:1: keyset.log-level: unknown key; it belongs in [observability]"},
	{"in no table", "log-level = \"info\"\n", "f:1:1: log-level: unknown key; it belongs in [observability]"},
	{"quoted key", "[keyset]\n\"a\\u001bb\" = 1\n", `f:2:1: keyset."a\x1bb": unknown key; known here: stale-key-count, key-rotation-interval, key-storage-path`},
	{"the configuration socket", "[observability]\nconfigure-path = \"x\"\n", "f:2:1: observability.configure-path: is a key of versions before 1.0; the configuration socket is gone: remove the key"},
	{"log filter", "log-filter = \"info\"\n", "f:1:1: log-filter: is a key of versions before 1.0; write log-level in [observability]"},

	// shapes
	{"one bracket", "[server]\nlisten = \"[::]:123\"\n", "f:1:2: server: expected an array of tables, found a table; write [[server]] with double brackets"},
	{"array of numbers", "server = [1]\n", "f:1:11: server: expected a table, found 1; write [[server]]"},
	{"value for a table", "synchronization = true\n", "f:1:19: synchronization: expected a table, found true; write [synchronization]"},
	{"date", "[keyset]\nkey-storage-path = 2020-01-01\n", "f:2:20: keyset.key-storage-path: expected a string, found a date or time; write it in quotes"},
	{"quoted boolean", "[synchronization]\nwarn-on-jump = \"true\"\n", `f:2:16: synchronization.warn-on-jump: expected true or false, found a string "true"; write it without quotes`},
	{"no list", "[[source]]\nmode = \"pool\"\naddress = \"a\"\nignore = \"192.0.2.1\"\n", `f:4:10: source.ignore: expected an array, found a string "192.0.2.1"; write it in [brackets]`},
	{"long text is cut", "[observability]\nlog-level = \"" + strings.Repeat("x", 200) + "\"\n",
		`f:2:13: observability.log-level: "` + strings.Repeat("x", 76) + `... is not one of its values; it is "trace", "debug", "info", "warn" or "error"`},
	{"level in capitals", "[observability]\nlog-level = \"INFO\"\n", `f:2:13: observability.log-level: "INFO" is not one of its values; it is "trace", "debug", "info", "warn" or "error"`},
	{"empty path", "[keyset]\nkey-storage-path = \"\"\n", "f:2:20: keyset.key-storage-path: is empty; write a path or leave the key out"},
	{"zero in a path", "[keyset]\nkey-storage-path = \"a\\u0000\"\n", "f:2:20: keyset.key-storage-path: a path cannot hold a zero byte; correct the path"},

	// sources
	{"no mode", "[[source]]\naddress = \"a\"\n", `f:1:3: source.mode: is missing; add mode = "server", "pool", "nts", "nts-pool", "sock", "pps", "phc" or "csptp"`},
	{"mode of a number", "[[source]]\nmode = 1\naddress = \"a\"\n", "f:2:8: source.mode: expected the name of a mode, found 1; write it in quotes"},
	{"mode misspelt", "[[source]]\nmode = \"ntspool\"\naddress = \"a\"\n", `f:2:8: source.mode: "ntspool" is not a kind of source; did you mean "nts-pool"?`},
	{"mode unheard of", "[[source]]\nmode = \"sundial\"\n",
		`f:2:8: source.mode: "sundial" is not a kind of source; write one of "server", "pool", "nts", "nts-pool", "sock", "pps", "phc" and "csptp"`},
	{"no address", "[[source]]\nmode = \"server\"\n", `f:1:3: source.address: is missing; add address = "host" or "host:port"`},
	{"count of a server", "[[source]]\nmode = \"server\"\naddress = \"a\"\ncount = 4\n", `f:4:1: source.count: does not belong to mode "server"; it is a key of mode "pool" and "nts-pool"`},
	{"authority of a pool", "[[source]]\nmode = \"pool\"\naddress = \"a\"\ncertificate-authority = \"x\"\n", `f:4:1: source.certificate-authority: does not belong to mode "pool"; it is a key of mode "nts" and "nts-pool"`},
	{"proxy of a pool", "[[source]]\nmode = \"pool\"\naddress = \"a\"\nproxy = \"b\"\n", `f:4:1: source.proxy: does not belong to mode "pool"; it is a key of mode "server", "nts" and "nts-pool"`},
	{"user without a proxy", "[[source]]\nmode = \"nts\"\naddress = \"a\"\nproxy-user = \"b\"\nproxy-password = \"c\"\n", `f:4:1: source.proxy-user: there is no proxy; add proxy = "host:port", or remove it`},
	{"password without a proxy", "[[source]]\nmode = \"nts\"\naddress = \"a\"\nproxy-password = \"c\"\n", `f:4:1: source.proxy-password: there is no proxy; add proxy = "host:port", or remove it`},
	{"user without a password", "[[source]]\nmode = \"nts\"\naddress = \"a\"\nproxy = \"p\"\nproxy-user = \"b\"\n", `f:5:1: source.proxy-user: has no password; add proxy-password`},
	{"password without a user", "[[source]]\nmode = \"nts\"\naddress = \"a\"\nproxy = \"p\"\nproxy-password = \"b\"\n", `f:5:1: source.proxy-password: has no user; add proxy-user`},
	{"user with an at", "[[source]]\nmode = \"nts\"\naddress = \"a\"\nproxy = \"p\"\nproxy-user = \"b@c\"\nproxy-password = \"d\"\n", `f:5:14: source.proxy-user: is no name of a user; write 1 to 255 octets without @`},
	{"ignore of nts-pool", "[[source]]\nmode = \"nts-pool\"\naddress = \"a\"\nignore = []\n", `f:4:1: source.ignore: does not belong to mode "nts-pool"; it is a key of mode "pool"`},
	{"poll of sock", "[[source]]\nmode = \"sock\"\npath = \"/x\"\nprecision = 1e-3\ninitial-poll-interval = 4\n",
		`f:5:1: source.initial-poll-interval: does not belong to mode "sock"; it is a key of mode "server", "pool", "nts" and "nts-pool"`},
	{"period of sock", "[[source]]\nmode = \"sock\"\npath = \"/x\"\nprecision = 1e-3\nperiod = 1\n", `f:5:1: source.period: does not belong to mode "sock"; it is a key of mode "pps"`},
	{"path of nts", "[[source]]\nmode = \"nts\"\naddress = \"a\"\npath = \"/x\"\n", `f:4:1: source.path: does not belong to mode "nts"; it is a key of mode "sock", "pps" and "phc"`},
	{"no precision", "[[source]]\nmode = \"pps\"\npath = \"/dev/pps0\"\n", "f:1:3: source.precision: is missing; add precision = seconds above 0"},
	{"precision of zero", "[[source]]\nmode = \"pps\"\npath = \"/dev/pps0\"\nprecision = 0\n", "f:4:13: source.precision: 0 is out of range; it must be a number above 0"},
	{"accuracy below zero", "[[source]]\nmode = \"pps\"\npath = \"/dev/pps0\"\nprecision = 1\naccuracy = -1.0\n", "f:5:12: source.accuracy: -1.0 is out of range; it must be a number above 0"},
	{"precision twice", "[[source]]\nmode = \"sock\"\npath = \"/x\"\nprecision = 1\nmeasurement_noise_estimate = 1\n",
		"f:5:1: source.measurement_noise_estimate: says the same as precision at line 4; keep only precision"},
	{"version 3", "[[source]]\nmode = \"server\"\naddress = \"a\"\nntp-version = 3\n", `f:4:15: source.ntp-version: expected 4, 5 or "auto", found 3`},
	{"version latest", "[[source]]\nmode = \"server\"\naddress = \"a\"\nntp-version = \"latest\"\n", `f:4:15: source.ntp-version: expected 4, 5 or "auto", found a string "latest"`},
	{"count below zero", "[[source]]\nmode = \"pool\"\naddress = \"a\"\ncount = -1\n", "f:4:9: source.count: -1 is out of range; it goes from 0 to 255"},
	{"ignore a name", "[[source]]\nmode = \"pool\"\naddress = \"a\"\nignore = [\"192.0.2.1:123\", 4]\n",
		`f:4:11: source.ignore: "192.0.2.1:123" is not an IP address; write it without a port or a name` + "\n" +
			"f:4:28: source.ignore: expected an IP address in quotes, found 4"},
	{"address of a number", "[[source]]\nmode = \"server\"\naddress = 1\n", `f:3:11: source.address: expected "host" or "host:port", found 1; write it in quotes`},
	{"address with spaces", "[[source]]\nmode = \"server\"\naddress = \"a b\"\n",
		`f:3:11: source.address: "a b" is not an address: it has a space or a slash in it; write "host", "host:port", "192.0.2.1:123" or "[2001:db8::1]:123"`},
	{"poll of a source upside down", "[[source]]\nmode = \"server\"\naddress = \"a\"\npoll-interval-limits = { min = 11 }\n",
		"f:4:1: source.poll-interval-limits: min is 11 but max is 10; min must not be above max; what is not written here comes from [source-defaults]"},
	{"poll of all upside down", "[source-defaults]\npoll-interval-limits = { min = 6, max = 5 }\n",
		"f:2:1: source-defaults.poll-interval-limits: min is 6 but max is 5; min must not be above max; what is not written here comes from [source-defaults]"},
	{"half a range", "[source-defaults]\npoll-interval-limits = { min = 6 }\n", "f:2:24: source-defaults.poll-interval-limits.max: is missing; add max = integer from 0 to 17"},
	{"poll below a second", "[source-defaults]\ninitial-poll-interval = -1\n", "f:2:25: source-defaults.initial-poll-interval: -1 is out of range; it goes from 0 to 17"},

	// servers
	{"no listen", "[[server]]\n", `f:1:3: server.listen: is missing; add listen = "ip:port"`},
	{"listen on a name", "[[server]]\nlisten = \"localhost:123\"\n", `f:2:10: server.listen: "localhost:123" is not an address to listen on; write an IP address and a port such as "0.0.0.0:123" or "[::]:123"`},
	{"listen without a port", "[[server]]\nlisten = \"0.0.0.0\"\n", `f:2:10: server.listen: "0.0.0.0" is not an address to listen on; write an IP address and a port such as "0.0.0.0:123" or "[::]:123"`},
	{"same address twice", "[[server]]\nlisten = \"[::]:123\"\n[[server]]\nlisten = \"[::]:123\"\n",
		"f:4:1: server.listen: [::]:123 is already listened on by the section at line 1; give each section an address of its own"},
	{"half an access list", "[[server]]\nlisten = \"[::]:123\"\n[server.denylist]\nfilter = []\n", `f:3:9: server.denylist.action: is missing; add action = "ignore" or "deny"`},
	{"more in an access list", "[[server]]\nlisten = \"[::]:123\"\nallowlist = { filter = [], action = \"deny\", log = true }\n", "f:3:45: server.allowlist.log: unknown key; known here: filter, action"},
	{"no such action", "[[server]]\nlisten = \"[::]:123\"\nallowlist = { filter = [], action = \"drop\" }\n", `f:3:37: server.allowlist.action: "drop" is not one of its values; it is "ignore" or "deny"`},
	{"bare address in a list", "[[server]]\nlisten = \"[::]:123\"\nallowlist = { filter = [\"192.0.2.1\", 1], action = \"deny\" }\n",
		`f:3:25: server.allowlist.filter: "192.0.2.1" has no length after a slash; write "192.0.2.0/24" or "2001:db8::/32"` + "\n" +
			`f:3:38: server.allowlist.filter: expected "ip/bits", found 1`},
	{"require something", "[[server]]\nlisten = \"[::]:123\"\nrequire-nts = \"yes\"\n", `f:3:15: server.require-nts: expected true, false, "ignore" or "deny", found a string "yes"`},
	{"NTPv2", "[[server]]\nlisten = \"[::]:123\"\naccept-ntp-versions = [2, 4]\n", "f:3:24: server.accept-ntp-versions: 2 is out of range; it goes from 3 to 5"},
	{"no version", "[[server]]\nlisten = \"[::]:123\"\naccept-ntp-versions = []\n", "f:3:1: server.accept-ntp-versions: accepts no version at all; write array of 3, 4 and 5"},
	{"NTPv3 with NTS", ke + "accept-ntp-versions = [3]\n", "f:5:24: nts-ke-server.accept-ntp-versions: 3 is out of range; it goes from 4 to 5"},
	{"no time for the exchange", ke + "key-exchange-timeout-ms = 0\n", "f:5:27: nts-ke-server.key-exchange-timeout-ms: 0 is out of range; it goes from 1 to 2147483648"},
	{"no connections", ke + "concurrent-connections = 0\n", "f:5:26: nts-ke-server.concurrent-connections: 0 is out of range; it goes from 1 to 1048576"},
	{"empty token", ke + "accepted-pool-authentication-tokens = [\"good\", \"\"]\n", "f:5:48: nts-ke-server.accepted-pool-authentication-tokens: is empty; an empty token would let everybody in"},
	{"token without quotes", ke + "accepted-pool-authentication-tokens = [4711]\n", "f:5:40: nts-ke-server.accepted-pool-authentication-tokens: expected a string, found an integer; write it in quotes"},
	{"name with a port", ke + "ntp-server = \"time.example:123\"\n", `f:5:14: nts-ke-server.ntp-server: "time.example:123" is not a host name or IP address; write it without a port and without brackets`},
	{"empty name", ke + "ntp-server = \"\"\n", "f:5:14: nts-ke-server.ntp-server: is empty; write a host name or IP address or leave the key out"},
	{"name with a brace", ke + "ntp-server = \"[::1]\"\n", `f:5:14: nts-ke-server.ntp-server: "[::1]" is not a host name or IP address; write it without a port and without brackets`},
	{"name with half a brace", ke + "ntp-server = \"a]\"\n", `f:5:14: nts-ke-server.ntp-server: "a]" is not a host name or IP address; write it without a port and without brackets`},
	{"name with another half", ke + "ntp-server = \"[a\"\n", `f:5:14: nts-ke-server.ntp-server: "[a" is not a host name or IP address; write it without a port and without brackets`},
	{"name with a slash", ke + "ntp-server = \"a/b\"\n", `f:5:14: nts-ke-server.ntp-server: "a/b" is not a host name or IP address; write it without a port and without brackets`},
	{"name with a space", ke + "ntp-server = \"a b\"\n", `f:5:14: nts-ke-server.ntp-server: "a b" is not a host name or IP address; write it without a port and without brackets`},
	{"name with a control character", ke + "ntp-server = \"a\\u007f\"\n", `f:5:14: nts-ke-server.ntp-server: "a\x7f" is not a host name or IP address; write it without a port and without brackets`},
	{"name not in ASCII", ke + "ntp-server = \"zürich.example\"\n", `f:5:14: nts-ke-server.ntp-server: "zürich.example" is not a host name or IP address; write it without a port and without brackets`},
	{"name of 256 letters", ke + "ntp-server = \"" + strings.Repeat("a", 256) + "\"\n", `f:5:14: nts-ke-server.ntp-server: "` + strings.Repeat("a", 76) + `... is not a host name or IP address; write it without a port and without brackets`},
	{"port 0", ke + "ntp-port = 0\n", "f:5:12: nts-ke-server.ntp-port: 0 is out of range; it goes from 1 to 65535"},
	{"key exchange without files", "[[nts-ke-server]]\nlisten = \"[::]:4460\"\n",
		"f:1:3: nts-ke-server.certificate-chain-path: is missing; add certificate-chain-path = path\n" +
			"f:1:3: nts-ke-server.private-key-path: is missing; add private-key-path = path"},

	// synchronization
	{"threshold below zero", "[synchronization]\nsingle-step-panic-threshold = -1\n", "f:2:31: synchronization.single-step-panic-threshold: -1 is out of range; it must be a number of seconds not below 0"},
	{"threshold half below zero", "[synchronization]\nsingle-step-panic-threshold = { backward = -1 }\n", "f:2:44: synchronization.single-step-panic-threshold.backward: -1 is out of range; it must be a number of seconds not below 0"},
	{"threshold not a number", "[synchronization]\nsingle-step-panic-threshold = nan\n", "f:2:31: synchronization.single-step-panic-threshold: nan is out of range; it must be a number of seconds not below 0"},
	{"threshold without quotes", "[synchronization]\nsingle-step-panic-threshold = inf\n", `f:2:31: synchronization.single-step-panic-threshold: inf is out of range; write "inf" in quotes for no limit`},
	{"threshold in words", "[synchronization]\nsingle-step-panic-threshold = \"never\"\n",
		`f:2:31: synchronization.single-step-panic-threshold: expected a number of seconds, "inf" or a table, found a string "never"; write a number without quotes, or "inf" for no limit`},
	{"threshold of another direction", "[synchronization]\nstartup-step-panic-threshold = { sideways = 3 }\n", "f:2:34: synchronization.startup-step-panic-threshold.sideways: unknown key; known here: forward, backward"},
	{"accumulated inf", "[synchronization]\naccumulated-step-panic-threshold = inf\n", "f:2:36: synchronization.accumulated-step-panic-threshold: inf is out of range; it must be a number of seconds not below 0"},
	{"stratum 0", "[synchronization]\nlocal-stratum = 0\n", "f:2:17: synchronization.local-stratum: 0 is out of range; it goes from 1 to 16"},
	{"reference id too long", "[synchronization]\nreference-id = \"GALILEO\"\n", `f:2:16: synchronization.reference-id: "GALILEO" is not a reference id; write up to 4 ASCII characters`},
	{"reference id not ASCII", "[synchronization]\nreference-id = \"é\"\n", `f:2:16: synchronization.reference-id: "é" is not a reference id; write up to 4 ASCII characters`},
	{"weight above one", "[synchronization.algorithm]\npoll-interval-low-weight = 1.5\n", "f:2:28: synchronization.algorithm.poll-interval-low-weight: 1.5 is out of range; it must be a number from 0 to 1"},
	{"amount below zero", "[synchronization.algorithm]\nstep-threshold = -0.1\n", "f:2:18: synchronization.algorithm.step-threshold: -0.1 is out of range; it must be a number not below 0"},
	{"amount not a number", "[synchronization.algorithm]\nstep-threshold = nan\n", "f:2:18: synchronization.algorithm.step-threshold: nan is out of range; it must be a number not below 0"},
	{"hysteresis of a float", "[synchronization.algorithm]\nprecision-hysteresis = 16.0\n", "f:2:24: synchronization.algorithm.precision-hysteresis: expected an integer from 0 to 2147483647, found 16.0"},
	{"no rotation", "[keyset]\nkey-rotation-interval = 0\n", "f:2:25: keyset.key-rotation-interval: 0 is out of range; it goes from 1 to 2147483648"},
	{"clock without a mode", "[clock]\ninterface = \"eth0\"\n", `f:1:2: clock.timestamp-mode: is missing; add timestamp-mode = "software", "kernel-recv", "kernel-all" or "hardware"`},

	// two spellings at once
	{"peer and source", "[[peer]]\nmode = \"server\"\naddress = \"a\"\n[[source]]\nmode = \"server\"\naddress = \"b\"\n",
		"f:4:3: source: written in two spellings, peer at line 1 and source at line 4; keep only source"},
	{"dash and underscore", "[keyset]\nstale-key-count = 1\nstale_key_count = 2\n",
		"f:3:1: keyset.stale-key-count: written in two spellings, stale-key-count at line 2 and stale_key_count at line 3; keep only stale-key-count"},
	{"accumulated and accumulated", "[synchronization]\naccumulated-threshold = 1\naccumulated-step-panic-threshold = 1\n",
		"f:3:1: synchronization.accumulated-step-panic-threshold: written in two spellings, accumulated-threshold at line 2 and accumulated-step-panic-threshold at line 3; keep only accumulated-step-panic-threshold"},
	{"moved onto another", "[source-defaults]\ninitial-poll-interval = 5\n[system]\ninitial-poll = 4\n",
		"f:4:1: system.initial-poll: written in two spellings, system.initial-poll at line 4 and source-defaults.initial-poll-interval at line 2; keep only initial-poll-interval in source-defaults"},
}

// ke is a key exchange server of four lines.
const ke = "[[nts-ke-server]]\nlisten = \"[::]:4460\"\ncertificate-chain-path = \"chain\"\nprivate-key-path = \"key\"\n"

func TestProblems(t *testing.T) {
	for _, b := range bad {
		t.Run(b.name, func(t *testing.T) {
			c, problems := Parse("f", []byte(b.text))
			if c == nil {
				t.Fatal("no Config")
			}
			if got := problems.Error(); got != b.want {
				t.Errorf("got\n%s\nwant\n%s", got, b.want)
			}
		})
	}
}

// Package archtest is the plan of the house as a test: which package may
// import which, what pure code keeps away from, and where each dependency may
// be used. docs/ARCHITECTURE.md draws what the tables here say.
package archtest

import "strings"

// A Rule says what one package may import, besides what is allowed everywhere.
type Rule struct {
	// Package is a directory of the module; a trailing "/..." includes all
	// below that have no rule of their own.
	Package string
	// Internal are the packages of this module that it may import, written
	// likewise.
	Internal []string
	// Pure code has no input or output, no clock, no goroutines, no global
	// state that changes. Of the standard library it may import PureStd and
	// Std.
	Pure bool
	Std  []string
	// Exact code gets the same result on every machine: of package math it
	// uses ExactMath, and it rounds each product that it sums.
	Exact bool
	// Testing packages exist for tests and may import package testing.
	Testing bool
	// Exits may end the process although it is not a main package; Why says
	// why.
	Exits bool
	Why   string
}

// Rooms are the rules, from the bottom up. A package imports only what stands
// above it in this list.
var Rooms = []Rule{
	{Package: "proto", Pure: true, Exact: true},
	{Package: "proto/exact", Pure: true, Exact: true},
	{Package: "proto/srv", Pure: true, Exact: true},
	{Package: "proto/aead", Pure: true, Exact: true, Internal: []string{"proto"}},
	{Package: "proto/cookie", Pure: true, Exact: true, Internal: []string{"proto", "proto/aead"}},
	{Package: "proto/kalman", Pure: true, Exact: true, Internal: []string{"proto", "proto/exact"}},
	{Package: "proto/khronos", Pure: true, Exact: true, Internal: []string{"proto"}},
	{Package: "proto/client", Pure: true, Exact: true, Internal: []string{"proto", "proto/aead", "proto/cookie", "proto/kalman"}},
	{Package: "proto/server", Pure: true, Exact: true, Internal: []string{"proto", "proto/aead", "proto/cookie", "proto/exact"}, Std: []string{"sync/atomic"}},
	{Package: "proto/engine", Pure: true, Exact: true, Internal: []string{"proto", "proto/aead", "proto/client", "proto/kalman", "proto/khronos", "proto/srv"}},
	{Package: "proto/recording", Pure: true, Exact: true, Internal: []string{"proto", "proto/aead", "proto/engine"}},
	{Package: "nts", Pure: true, Internal: []string{"proto", "proto/aead"}},
	{Package: "daemon/config", Pure: true, Internal: []string{"proto"}},
	{Package: "daemon/assemble", Pure: true, Internal: []string{"daemon/config", "proto", "proto/engine", "proto/kalman"}},

	// The purity line.
	{Package: "nts/ke", Internal: []string{"nts", "proto/aead"}},
	{Package: "nts/lookup", Internal: []string{"proto/srv"}},
	{Package: "nts/pool", Internal: []string{"nts", "nts/ke", "nts/lookup", "proto/aead", "proto/srv"}},
	{Package: "clock", Internal: []string{"proto", "proto/engine", "proto/kalman"}},
	{Package: "internal/neterr"},
	{Package: "internal/monitor"},
	{Package: "internal/seccomp"},
	{Package: "daemon/privilege", Internal: []string{"internal/seccomp"}},
	{Package: "daemon/state"},
	{Package: "daemon/logging"},
	{Package: "daemon/netio", Internal: []string{"internal/neterr", "proto", "proto/engine"}},
	{Package: "daemon/serve", Internal: []string{"daemon/netio", "proto", "proto/cookie", "proto/server"}},
	{Package: "daemon/observe", Internal: []string{"proto", "proto/engine"}},
	{Package: "daemon/probe", Internal: []string{"internal/neterr", "nts", "nts/ke", "proto", "proto/aead"}},
	{Package: "daemon/doctor", Internal: []string{"daemon/config", "daemon/observe", "daemon/probe", "internal/neterr", "nts/ke"}},
	{Package: "internal/jsonschema"},
	{Package: "daemon/control", Internal: []string{"daemon/observe"}},
	{Package: "daemon/history", Internal: []string{"proto", "proto/engine", "proto/kalman"}},
	{Package: "daemon/activation"},
	{Package: "daemon/apart", Internal: []string{"daemon/privilege", "nts", "nts/ke", "proto/aead", "proto/cookie"}},
	{Package: "internal/version"},
	{Package: "internal/cli"},
	{Package: "internal/configfile", Internal: []string{"daemon/config", "internal/cli"}},
	{Package: "daemon", Internal: []string{
		"clock", "daemon/activation", "daemon/apart", "daemon/assemble", "daemon/config", "daemon/control", "daemon/history", "daemon/netio", "daemon/observe", "daemon/serve", "daemon/state",
		"nts", "nts/ke", "nts/lookup", "proto/...", "internal/cli", "internal/version",
	}},
	{Package: "cmd", Internal: []string{"daemon/config", "daemon/history", "daemon/observe", "internal/jsonschema"}},
	{Package: "cmd/ntp-daemon", Internal: []string{"clock", "daemon/...", "proto", "internal/cli", "internal/monitor", "internal/version"}},
	{Package: "cmd/nts-pool-ke", Internal: []string{"daemon/config", "daemon/logging", "daemon/observe", "nts/...", "proto/srv", "internal/cli", "internal/monitor", "internal/version"}},
	{Package: "cmd/ntp-metrics-exporter", Internal: []string{"daemon/config", "daemon/logging", "daemon/observe", "internal/cli", "internal/configfile", "internal/version"}},
	{Package: "cmd/ntp-ctl", Internal: []string{"daemon/...", "proto/...", "nts/...", "internal/cli", "internal/configfile", "internal/version"}},

	// What only tests and tools use.
	{Package: "clock/clocktest", Testing: true, Internal: []string{"clock", "proto", "proto/engine", "proto/kalman"}},
	{Package: "internal/archtest"},
	{Package: "internal/compliance"},
	{Package: "internal/doctest"},
	{Package: "internal/fuzzall"},
	{Package: "internal/golden", Testing: true},
	{Package: "internal/manpage"},
	{Package: "internal/memnet"},
	{Package: "internal/sbom"},
	{Package: "internal/testcert", Testing: true},
	{Package: "internal/testgeo", Testing: true},
	{Package: "internal/testlog"},
	{Package: "internal/testns", Testing: true},
	{Package: "internal/testsocks", Testing: true},
	{Package: "internal/testdns", Testing: true, Internal: []string{"proto/srv"}},
	{Package: "internal/sim", Internal: []string{"daemon/assemble", "daemon/config", "proto/..."}},
	{Package: "test/...", Internal: []string{"internal/...", "proto/...", "nts/...", "test/..."}},
	{
		Package: "test/lab", Internal: []string{"internal/..."}, Exits: true,
		Why: "it starts programs by running itself again, in place of a shell",
	},
	{
		Package: "test/scene", Internal: []string{"internal/...", "proto/...", "nts/...", "test/lab"}, Exits: true,
		Why: "a row that cannot go on ends its goroutine, as a test does",
	},
	{Package: "test/prometheus", Internal: []string{"daemon/observe", "test/lab"}},
	{
		Package: "test/attack", Internal: []string{"internal/...", "proto/...", "nts/...", "test/...", "daemon/state"},
		Why: "it kills a process that stores without end, to hit each moment of it",
	},
}

// Nowhere are packages that must not be linked into a command, not even by
// way of others of this module: the privileged daemon has no HTTP server and
// draws no pictures.
var Nowhere = map[string][]string{
	"cmd/ntp-daemon": {"net/http", "nts/pool", "gonum.org/v1/...", "github.com/prometheus/...", "internal/sim"},
}

// A Dependency is a module that someone decided for, and the rooms that may
// import it. Tests of all packages may import those with Tests.
type Dependency struct {
	Module string
	Rooms  []string
	Tests  bool
}

// Dependencies are all that may be required directly. Another one needs a
// record in docs/adr.
var Dependencies = []Dependency{
	{Module: "github.com/lmittmann/tint", Rooms: []string{"daemon/logging"}},
	{Module: "github.com/landlock-lsm/go-landlock", Rooms: []string{"daemon/privilege"}},
	{Module: "github.com/miscreant/miscreant.go", Rooms: []string{"proto/aead"}, Tests: true},
	{Module: "github.com/oschwald/maxminddb-golang/v2", Rooms: []string{"nts/pool", "cmd/nts-pool-ke"}},
	{Module: "github.com/pelletier/go-toml/v2", Rooms: []string{"daemon/config"}, Tests: true},
	{Module: "github.com/prometheus/client_golang", Rooms: []string{"cmd/ntp-metrics-exporter", "cmd/nts-pool-ke"}},
	{Module: "github.com/rogpeppe/go-internal", Tests: true},
	{Module: "github.com/spf13/cobra", Rooms: []string{"cmd/...", "internal/cli", "internal/manpage"}},
	{Module: "golang.org/x/net", Rooms: []string{"daemon/...", "internal/testdns", "nts/ke", "nts/lookup", "nts/pool", "test/..."}, Tests: true},
	{Module: "golang.org/x/sys", Rooms: []string{"clock", "daemon/...", "cmd/...", "internal/monitor", "internal/seccomp", "test/..."}, Tests: true},
	{Module: "golang.org/x/term", Rooms: []string{"daemon/logging", "cmd/..."}},
	{Module: "gonum.org/v1/gonum", Rooms: []string{"cmd/ntp-ctl", "internal/sim", "test/..."}, Tests: true},
	{Module: "gonum.org/v1/plot", Rooms: []string{"cmd/ntp-ctl", "test/..."}},
	{Module: "pgregory.net/rapid", Rooms: []string{"clock/clocktest"}, Tests: true},
}

// PureStd is the part of the standard library that computes and does nothing
// else. Of package time only types and constants are left, see Clocks.
var PureStd = words(`bufio bytes cmp container/heap crypto crypto/aes crypto/cipher crypto/hmac crypto/md5
	crypto/sha256 crypto/subtle encoding encoding/base64 encoding/binary encoding/hex encoding/json errors fmt
	io iter maps math math/bits net/netip slices sort strconv strings time unicode unicode/utf8`)

// Clocks are the functions of package time that read a clock or wait for one,
// or read the machine's time zone.
var Clocks = words(`After AfterFunc LoadLocation Local NewTicker NewTimer Now Since Sleep Tick Until`)

// Output are the functions of package fmt that write to the process's
// standard output or read its input.
var Output = words(`Print Printf Println Scan Scanf Scanln`)

// ExactMath is the part of package math that gives the same result on every
// architecture.
var ExactMath = words(`Abs Ceil Copysign Float32bits Float32frombits Float64bits Float64frombits Floor Frexp Inf
	IsInf IsNaN Ldexp Max Min Modf NaN Nextafter Round RoundToEven Signbit Sqrt Trunc
	E Ln10 Ln2 Log10E Log2E Phi Pi Sqrt2 SqrtE SqrtPhi SqrtPi
	MaxFloat32 MaxFloat64 SmallestNonzeroFloat32 SmallestNonzeroFloat64
	MaxInt MaxInt8 MaxInt16 MaxInt32 MaxInt64 MinInt MinInt8 MinInt16 MinInt32 MinInt64
	MaxUint MaxUint8 MaxUint16 MaxUint32 MaxUint64`)

// Endings are the functions that end the process.
var Endings = words(`log.Fatal log.Fatalf log.Fatalln log.Panic log.Panicf log.Panicln os.Exit syscall.Exit
	runtime.Goexit syscall.Exec`)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

// matches reports whether a path is one of the patterns.
func matches(path string, patterns []string) bool {
	for _, p := range patterns {
		if covers(p, path) {
			return true
		}
	}
	return false
}

// covers reports whether a pattern includes a path.
func covers(pattern, path string) bool {
	root, all := strings.CutSuffix(pattern, "/...")
	return path == root || all && strings.HasPrefix(path, root+"/")
}

// ruleFor finds the rule of a package: its own, or the nearest that includes
// it.
func ruleFor(pkg string) (Rule, bool) {
	best, found := Rule{}, false
	for _, r := range Rooms {
		if covers(r.Package, pkg) && (!found || len(r.Package) >= len(best.Package) || r.Package == pkg) && (!found || best.Package != pkg) {
			best, found = r, true
		}
	}
	return best, found
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Rows that are suites of their own: here each of them runs for a while, or in part, and first shows that it finds what
// it looks for.
var suiteRows = []scene.Row{
	{ID: "T86", Alone: true, Limit: 25 * time.Minute, What: "interoperation with every peer", Prove: interoperation},
	{ID: "T89", Alone: true, Limit: 8 * time.Minute, What: "leaks among faults at random, three minutes of them (`make soak` takes an hour)", Prove: scene.Soak},
	{ID: "T90", Alone: true, Limit: 20 * time.Minute, What: "data races where goroutines meet, the tests in another order (`make race` looks everywhere)", Prove: races},
	{ID: "T91", Limit: 5 * time.Minute, What: "forbidden calls", Prove: forbiddenCalls},
	{ID: "T91v", Limit: 5 * time.Minute, What: "known vulnerabilities", Prove: vulnerabilities},
	{ID: "T92", Alone: true, Limit: 25 * time.Minute, What: "what fuzzing finds in two seconds a target (`make fuzz T=10m` takes longer)", Prove: fuzzing},
	{ID: "T95", Alone: true, Limit: 25 * time.Minute, What: "ten thousand clients that start within five minutes, and a server that loses its keys: three hours of them", Prove: togetherAgain},
	{ID: "T93", Alone: true, Limit: 25 * time.Minute, What: "guards of replies, requests, cookies and the key exchange whose removal nothing misses (`make mutate` removes all)", Prove: mutants},
}

func interoperation(t *scene.Trial) {
	out, err := t.Suite("go", "run", "./test/interop", "-bin", t.Bin, "-peers", "-j", "2")
	t.Check(err)
	t.Control("the peers get on with each other: %s", scene.LastLine(out))
	out, err = t.Suite("go", "run", "./test/interop", "-bin", t.Bin, "-j", "2")
	t.Check(err)
	t.Saw("ours with them: %s", scene.LastLine(out))
}

// planted writes a module with a mistake in it.
func planted(t *scene.Trial, name, text string) (dir string) {
	dir = filepath.Join(t.Dir, "planted-"+strings.TrimSuffix(name, ".go"))
	t.Check(os.MkdirAll(dir, 0o755))
	t.Check(os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module planted\n\ngo 1.26\n"), 0o644))
	t.Check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	return dir
}

const racing = `package planted

import "testing"

func TestRace(t *testing.T) {
	n, done := 0, make(chan bool)
	go func() { n++; done <- true }()
	n++
	<-done
}
`

func races(t *scene.Trial) {
	dir := planted(t, "race_test.go", racing)
	if out, err := t.Suite("env", "CGO_ENABLED=1", "go", "-C", dir, "test", "-race", "./..."); err == nil || !strings.Contains(err.Error(), "DATA RACE") && !strings.Contains(out, "DATA RACE") {
		t.Fatal("a race that was planted is not found: %v", err)
	}
	t.Control("a race that was planted is found")
	rooms := []string{"./daemon", "./daemon/serve", "./daemon/netio", "./daemon/observe", "./daemon/control", "./nts/ke", "./nts/pool", "./proto/server", "./clock"}
	_, err := t.Suite(append([]string{"env", "CGO_ENABLED=1", "nice", "go", "test", "-race", "-short", "-shuffle=on"}, rooms...)...)
	t.Check(err)
	t.Saw("%s", strings.Join(rooms, " "))
}

func forbiddenCalls(t *scene.Trial) {
	t.RunTests("internal/archtest", "TestWhatIsBadIsFound", "TestOutOfOrderRoomsAreFound")
	t.Control("imports, calls and rooms that are wrong on purpose are found")
	t.RunTests("internal/archtest", "TestTheHouseIsBuiltAsPlanned", "TestThePlanIsTheHouse", "TestFiltersRoundTheirProducts")
	t.Saw("the code has none")
}

func vulnerabilities(t *scene.Trial) {
	out, err := t.Suite("make", "vuln")
	if strings.Contains(out, "out of reach") {
		t.Skip("the database of vulnerabilities is out of reach")
	}
	t.Control("the database was read")
	t.Check(err)
	t.Saw("%s", scene.LastLine(out))
}

const fuzzy = `package planted

import "testing"

func FuzzPlanted(f *testing.F) {
	f.Add([]byte("abcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2 && b[0] == 'f' && b[1] == 'u' {
			t.Error("found")
		}
	})
}
`

func fuzzing(t *scene.Trial) {
	dir := planted(t, "fuzz_test.go", fuzzy)
	if out, err := t.Suite("go", "-C", dir, "test", "-run", "^$", "-fuzz", "FuzzPlanted", "-fuzztime", "60s", "./..."); err == nil || !strings.Contains(out, "Failing input written") {
		t.Fatal("a mistake that was planted is not found: %v", err)
	}
	t.Control("a mistake that was planted behind two octets is found")
	out, err := t.Suite("nice", "go", "run", "./internal/fuzzall", "-t", "2s")
	t.Check(err)
	t.Saw("%d targets: %s", strings.Count("\n"+out, "\n== "), scene.LastLine(out))
}

func mutants(t *scene.Trial) {
	out, err := t.Suite("nice", "go", "run", "./test/mutate", "-run",
		"single use|unique|requests|AES-SIV|clear|replies|fields|within|cap|placeholders|padding|kisses|clients|servers|TLS|certificates|messages|exchanges|limited|whole")
	t.Check(err)
	if !strings.Contains(out, "control: ") {
		t.Fatal("no control in %s", out)
	}
	t.Control("the tests pass with all guards in place")
	t.Saw("%s", scene.LastLine(out))
}

func togetherAgain(t *scene.Trial) {
	run := []string{"go", "test", "-count=1", "-v", "-timeout=25m", "-run", "^TestClientsThatStartTogether$", "./proto/engine"}
	out, err := t.Suite(run...)
	t.Check(err)
	t.Control("%s", logged(out))
	out, err = t.Suite(append([]string{"env", "NTPD_CLIENTS=10000", "nice"}, run...)...)
	t.Check(err)
	t.Saw("%s", logged(out))
}

// logged is what a test has written into its log last.
func logged(out string) (text string) {
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, "_test.go:"); ok {
			_, text, _ = strings.Cut(strings.TrimSpace(rest), ": ")
		}
	}
	return text
}

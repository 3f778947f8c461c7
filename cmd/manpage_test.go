package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/internal/manpage"
)

// example says how an example of a manual page is run: what of it names files
// and servers that only its reader has is replaced by ours. Replacements are
// pairs of old and new; where none fits, ntp-ctl is told the configuration.
type example struct {
	replace []string
	want    []int  // exit codes; none is 0
	says    string // it runs until it is ended, and logs this
}

// exampleWord is a word of a command, without its quotes.
var exampleWord = regexp.MustCompile(`'[^']*'|\S+`)

// Every example of every manual page is typed, and ends as it should.
func TestManualPageExamplesRun(t *testing.T) {
	dir, ntp, exchange := ntsServer(t)
	put(t, dir, "ntp.toml", fmt.Sprintf(`[observability]
observation-path = "run/observe"
metrics-exporter-listen = "127.0.0.1:%s"
[[source]]
mode = "server"
address = "127.0.0.1:%s"
[[source]]
mode = "server"
address = "time.example.com"
[[server]]
listen = "127.0.0.1:%s"
[synchronization]
update-system-clock = false
minimum-agreeing-sources = 1
`, port(t, "tcp"), ntp, port(t, "udp")))
	put(t, dir, "idle.toml", fmt.Sprintf("[observability]\nobservation-path = \"idle/observe\"\n[[server]]\nlisten = \"127.0.0.1:%s\"\n", port(t, "udp")))
	put(t, dir, "sources/one.toml", serverFile("localhost", ""))
	put(t, dir, "pool.toml", poolFile(t, ""))
	for _, name := range []string{"end.fullchain.pem", "end.key", "testca.pem"} {
		text, err := os.ReadFile(filepath.Join(keys, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, name, string(text))
	}
	start(t, dir, "ntp-daemon", "-c", "ntp.toml").await("serving NTP")
	if out, err := ctl(t, dir, "waitsync", "-q", "--timeout", "1m", "-c", "ntp.toml"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	here, secure := "127.0.0.1:"+ntp, "localhost:"+exchange
	settings := []string{"/etc/ntpd-rs/ntp.toml", "ntp.toml"}
	table := map[string]example{
		"ntp-ctl status --watch": {replace: []string{"--watch", "--watch --times=1"}},
		"ntp-ctl check":          {want: []int{0, 1}},
		"ntp-ctl check --warn 10ms --critical 50ms --min-sources 3 --cert-days 14": {want: []int{1, 2}},
		"ntp-ctl waitsync --max-error 50ms --quiet":                                {want: []int{0, 1}}, // the machine may be busy
		"ntp-ctl force-sync --dry-run":                                             {want: []int{0, 1}}, // one of two sources cannot be found
		"ntp-ctl force-sync --yes --timeout 1m":                                    {replace: []string{"--timeout 1m", "--timeout 1m -c idle.toml"}, want: []int{78}},
		"ntp-ctl doctor":                                                           {want: []int{1, 2}},
		"ntp-ctl doctor --bundle report.tar.gz":                                    {want: []int{1, 2}},
		"ntp-ctl validate -c /etc/ntpd-rs/ntp.toml":                                {replace: settings},
		"ntp-ctl query --compare --count 4 time.example.org ntp1.example.net":      {replace: []string{"time.example.org", here, "ntp1.example.net", here}},
		"ntp-ctl query --nts time.example.org":                                     {replace: []string{"time.example.org", "-4 --ca testca.pem " + secure}},
		"ntp-ctl nts-check time.example.org":                                       {replace: []string{"time.example.org", "-4 --ca testca.pem " + secure}},
		"ntp-ctl source add nts time.example.com":                                  {replace: []string{"time.example.com", "other.example.com"}},
		"ntp-daemon -c /etc/ntpd-rs/ntp.toml":                                      {replace: []string{"/etc/ntpd-rs/ntp.toml", "idle.toml"}, says: "serving NTP"},
		"ntp-metrics-exporter -c /etc/ntpd-rs/ntp.toml":                            {replace: settings, says: "starting ntp-metrics-exporter"},
		"nts-pool-ke -c pool.toml":                                                 {says: "listening on"},
		"nts-pool-ke validate -c pool.toml":                                        {},
	}
	seen, n := map[string]bool{}, 0
	pages, err := filepath.Glob("../docs/man/*.[1-8]")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range manpage.Examples(text) {
			seen[line] = true
			n++
			runExample(t, dir, line, table[line])
		}
	}
	for line := range table {
		if !seen[line] {
			t.Errorf("no page shows %q any more", line)
		}
	}
	if len(pages) != 4 || n < 30 {
		t.Errorf("%d examples on %d pages", n, len(pages))
	}
}

func runExample(t *testing.T, dir, line string, e example) {
	t.Helper()
	typed := strings.NewReplacer(e.replace...).Replace(line)
	if strings.HasPrefix(typed, "ntp-ctl ") && !strings.Contains(typed, " -c ") && !strings.Contains(typed, ":") {
		typed += " -c ntp.toml"
	}
	words := exampleWord.FindAllString(typed, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], "'")
	}
	if e.says != "" {
		p := start(t, dir, words[0], words[1:]...)
		p.await(e.says)
		p.stop()
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s: exit code %d after SIGTERM\n%s", line, code, strings.Join(p.lines(), "\n"))
		}
		return
	}
	cmd := exec.Command(filepath.Join(binaries, words[0]), words[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	want := e.want
	if want == nil {
		want = []int{0}
	}
	for _, code := range want {
		if exitCode(err) == code {
			return
		}
	}
	t.Errorf("%s (%s): exit code %d instead of one of %v\n%s", line, typed, exitCode(err), want, out)
}

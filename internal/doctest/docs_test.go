package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/config"
)

const root = "../.."

// documents are all Markdown files that people read.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func blocks(t *testing.T, path string) []Block {
	t.Helper()
	b, err := Blocks(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every TOML block that a reader can copy is a configuration without problems
// that the daemon, or the pool, does not refuse.
func TestEveryTOMLBlockIsAccepted(t *testing.T) {
	seen := 0
	for _, doc := range documents(t) {
		for _, b := range blocks(t, doc) {
			if b.Lang != "toml" {
				continue
			}
			seen++
			if strings.Contains(b.Text, "[nts-pool-ke-server]") {
				if _, problems := config.ParsePool(b.String(), []byte(b.Text)); len(problems) > 0 {
					t.Error(problems)
				}
				continue
			}
			if strings.Contains(b.Text, "[[key-exchange-servers]]") {
				if _, _, problems := config.ParsePoolServers(b.String(), []byte(b.Text)); len(problems) > 0 {
					t.Error(problems)
				}
				continue
			}
			cfg, problems := config.Parse(b.String(), []byte(b.Text))
			if len(problems) > 0 {
				t.Error(problems)
			} else if r := cfg.Refusals(); len(r) > 0 {
				t.Errorf("%v: refused: %v", b, r)
			}
		}
	}
	if seen == 0 {
		t.Error("no TOML block found")
	}
}

// proofs says what runs each command that the documentation shows.
var proofs = map[string]string{
	"make demo":          ".ci/run",
	"make build":         ".ci/run",
	"make test":          ".ci/run",
	"bin/ntp-ctl status": "test/vm",
	"sudo bin/ntp-daemon -c examples/client.toml":                         "test/vm",
	"sudo bin/ntp-daemon -c examples/server.toml":                         "test/vm",
	"bin/nts-pool-ke -c examples/pool.toml":                               "test/vm",
	"ntp-ctl status":                                                      "test/vm",
	"ntp-ctl validate -c server.toml":                                     "guide_test.go",
	"ntp-ctl validate -c client.toml":                                     "guide_test.go",
	"sudo ntp-daemon -c server.toml":                                      "guide_test.go",
	"sudo ntp-daemon -c client.toml":                                      "guide_test.go",
	"ntp-ctl doctor -c /etc/ntpd-rs/ntp.toml":                             "test/doctor",
	"ntp-ctl nts-check time.example.org":                                  "cmd/query_test.go",
	"ntp-ctl query --compare --count 4 time.example.org ntp1.example.net": "cmd/query_test.go",
	"nts-pool-ke validate -c pool.toml":                                   "pool_guide_test.go",
	"sudo nts-pool-ke -c pool.toml":                                       "pool_guide_test.go",
	"nts-pool-ke member-token -c front.toml time1.example.org 4460":       "cmd/pool_operation_test.go",
	"ntp-daemon -c ntp.toml --record run.rec":                             "test/accuracy/record_test.go",
	"make replay FILE=run.rec":                                            "test/accuracy/record_test.go",
	"nts-pool-ke srv-zone -c pool.toml --all --name members.example.org":  "cmd/pool_operation_test.go",
}

// A command in the documentation is either run here as typed (the guide's
// OpenSSL commands) or named above with what runs it.
func TestEveryCommandIsProved(t *testing.T) {
	used := map[string]bool{}
	for _, doc := range documents(t) {
		for _, b := range blocks(t, doc) {
			if b.Lang != "sh" {
				continue
			}
			for _, c := range b.Commands() {
				if _, ok := proofs[c]; !ok && !strings.HasPrefix(c, "openssl ") && !strings.HasPrefix(c, "cat ") {
					t.Errorf("%v: nothing runs %q", b, c)
				}
				used[c] = true
			}
		}
	}
	for c := range proofs {
		if !used[c] {
			t.Errorf("no document shows %q any more", c)
		}
	}
}

// What .ci/run is said to run, it runs.
func TestContinuousIntegrationRunsTheReadme(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root, ".ci/run"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(strings.ReplaceAll(string(script), "\n", " "))
	for c, where := range proofs {
		if where != ".ci/run" {
			continue
		}
		words := strings.Fields(c)
		if !slices.Contains(lines, words[0]) || !slices.Contains(lines, words[1]) {
			t.Errorf(".ci/run does not run %q", c)
		}
	}
}

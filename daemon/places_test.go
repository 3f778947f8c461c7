package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// A file that the daemon could not write, or would not take, is named before
// it starts.
func TestPlacesAreLookedAt(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys, err := cookie.NewKeyset(strings.NewReader(strings.Repeat("0123456789abcdef", 64)))
	if err != nil {
		t.Fatal(err)
	}
	stored := string(keys.Marshal(1_700_000_000))
	pem := file("pem", "-----BEGIN CERTIFICATE-----\nAAAA\n", 0o600)
	const server = "[[server]]\nlisten = \"127.0.0.1:0\"\n"
	const source = "[[source]]\nmode = \"server\"\naddress = \"a.test\"\n"
	key := func(path string) string { return server + "[keyset]\nkey-storage-path = \"" + path + "\"\n" }
	observe := func(name, path string) string {
		return server + "[observability]\n" + name + " = \"" + path + "\"\n"
	}
	for _, c := range []struct {
		name, text    string
		problem, warn string
		fails         bool
	}{
		{"nothing", source, "", "", false},
		{"a log to be made", observe("log-path", dir+"/log"), "", "", false},
		{"a log that is there", observe("log-path", pem), "", "", false},
		{"a log nowhere", observe("log-path", dir+"/no/log"), dir + "/no/log cannot be made: there is no directory " + dir + "/no; make it, or name another file", "", false},
		{"a log in a file", observe("log-path", pem+"/log"), pem + "/log cannot be made: there is no directory " + pem + ";", "", false},
		{"a log behind a file", observe("log-path", pem+"/a/log"), "/a/log cannot be made", "", false},
		{"a log that is a directory", observe("log-path", dir), dir + " is a directory; name a file in it", "", false},
		{"keys to be made", key(dir + "/keys"), "", "", false},
		{"keys", key(file("good", stored, 0o600)), "", "", false},
		{"keys for all to see", key(file("open", stored, 0o604)), "", "can be read or written by others; run chmod 600", false},
		{"keys for a group", key(file("group", stored, 0o640)), "", "can be read or written by others; run chmod 600", false},
		{"keys nowhere", key(dir + "/no/keys"), "", "there is no directory " + dir + "/no now: without it the keys could not be kept", true},
		{"keys in a file", key(pem + "/keys"), "", pem, true},
		{"keys that are a certificate", key(pem), "", "not a file of cookie keys: it does not begin like one): the keys would be kept in memory only", true},
		{"keys that are a directory", key(dir), "", "it is not a regular file", true},
		{"keys without a server", strings.TrimPrefix(key(pem), server) + source, "", "", false},
		{"a socket", observe("observation-path", dir+"/observe"), "", "", false},
		{"a socket nowhere", observe("observation-path", dir+"/no/observe"), "", "without it no socket could be made", false},
		{"a state nowhere", source + "[synchronization]\nstate-path = \"" + dir + "/no/clock\"\n", "", "the clock's frequency could not be kept", false},
		{"a state that is not used", source + "[synchronization]\nupdate-system-clock = false\nstate-path = \"" + dir + "/no/clock\"\n", "", "", false},
		{"a state without sources", "[synchronization]\nstate-path = \"" + dir + "/no/clock\"\n", "", "", false},
	} {
		cfg, problems := config.Parse("ntp.toml", []byte(c.text))
		if err := problems.Err(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		before, _ := os.ReadDir(dir)
		warnings, problems := CheckFiles(cfg, time.Unix(1_700_000_000, 0))
		if got := problems.Error(); (got == "") != (c.problem == "") || !strings.Contains(got, c.problem) || got != "" && !strings.HasPrefix(got, "ntp.toml:") {
			t.Errorf("%s: problems %q", c.name, got)
		}
		var got string
		fails := false
		for _, w := range warnings {
			got, fails = got+w.String(), fails || w.FailsValidate
		}
		if (got == "") != (c.warn == "") || !strings.Contains(got, c.warn) || fails != c.fails || got != "" && !strings.HasPrefix(got, "ntp.toml:") {
			t.Errorf("%s: warnings %q, fails validation: %v", c.name, got, fails)
		}
		if after, _ := os.ReadDir(dir); len(after) != len(before) {
			t.Errorf("%s: looking made a file", c.name)
		}
	}
}

// Another user may be allowed what this one is not: that fails nothing.
func TestPlacesThatThisUserMayNotWriteTo(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	cfg, _ := config.Parse("ntp.toml", []byte("[[server]]\nlisten = \"127.0.0.1:0\"\n[observability]\nlog-path = \""+dir+"/log\"\n[keyset]\nkey-storage-path = \""+dir+"/keys\"\n"))
	warnings, problems := CheckFiles(cfg, time.Now())
	if len(problems) != 0 || len(warnings) != 2 {
		t.Fatalf("problems %v, warnings %v", problems, warnings)
	}
	for _, w := range warnings {
		if w.FailsValidate || !strings.Contains(w.Text, "this user may not write to "+dir) {
			t.Errorf("%v", w)
		}
	}
}

package daemon

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/internal/testns"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// aSession has n cookies, each of one repeated octet.
func aSession(host string, n int) engine.Session {
	x := engine.Session{
		For: engine.Asked{Mode: engine.ModeNTS, Host: host, Port: 4460}, Trust: "system", KeyHost: host, KeyPort: 4460,
		Remote: netip.MustParseAddr("192.0.2.7"), Server: "192.0.2.1", Addr: netip.MustParseAddrPort("192.0.2.1:123"), Algorithm: aead.AESSIVCMAC256,
		C2S: bytes.Repeat([]byte{0xc5}, 32), S2C: bytes.Repeat([]byte{0x5c}, 32),
		NotAfter: time.Unix(1_800_000_000, 0).UTC(), At: time.Unix(1_790_000_000, 0).UTC(),
	}
	for i := range n {
		x.Cookies = append(x.Cookies, bytes.Repeat([]byte{byte(i + 1)}, 100))
	}
	return x
}

// keeper is one for a file that is not there yet.
func keeper(t *testing.T, log *bytes.Buffer) *sessions {
	return &sessions{
		path: filepath.Join(t.TempDir(), "state", "nts.json"), log: slog.New(slog.NewTextHandler(log, nil)),
		trust: func(authority string) string {
			if authority == "" {
				return "system"
			}
			return ""
		},
	}
}

// firsts are the first octets of cookies.
func firsts(cookies []engine.Secret) (out []byte) {
	for _, c := range cookies {
		out = append(out, c[0])
	}
	return out
}

// What is kept comes back whole, and half of it at a time: a start that dies
// leaves something to the next, until there is nothing left.
func TestSessionsComeBackInHalves(t *testing.T) {
	var log bytes.Buffer
	s := keeper(t, &log)
	if got := s.claim(); got != nil {
		t.Fatalf("out of nothing came %+v", got)
	}
	s.keep([]engine.Session{aSession("a.test", 4), aSession("b.test", 1)})
	if info, err := os.Stat(s.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	for _, want := range []struct{ cookies, spare []byte }{{[]byte{3, 4}, []byte{1, 2}}, {[]byte{2}, []byte{1}}, {[]byte{1}, nil}} {
		got := s.claim()
		x := got[0]
		if !bytes.Equal(firsts(x.Cookies), want.cookies) || !bytes.Equal(firsts(x.Spare), want.spare) {
			t.Fatalf("cookies %v, spare %v, want %+v", firsts(x.Cookies), firsts(x.Spare), want)
		}
		whole := aSession("a.test", 4)
		whole.Cookies, whole.Spare = x.Cookies, x.Spare
		if !reflect.DeepEqual(x, whole) {
			t.Errorf("got  %+v\nwant %+v", x, whole)
		}
	}
	if got := s.claim(); got != nil {
		t.Errorf("out of what is used up came %+v", got)
	}
	if _, err := os.Stat(s.path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if log.Len() > 0 {
		t.Errorf("warned: %s", log.String())
	}
}

// The form of the file is that of version 1. Who changes it must read the old
// one, or raise the version.
func TestFormOfKeptSessions(t *testing.T) {
	s := keeper(t, new(bytes.Buffer))
	x := aSession("a.test", 1)
	x.C2S, x.S2C, x.Cookies = engine.Secret("c2s"), engine.Secret("s2c"), []engine.Secret{engine.Secret("one")}
	s.keep([]engine.Session{x})
	const want = `{"version":1,"sessions":[{"For":{"Mode":"nts","Host":"a.test","Port":4460,"Route":{}},"Trust":"system","KeyHost":"a.test","KeyPort":4460,` +
		`"Remote":"192.0.2.7","Server":"192.0.2.1","Addr":"192.0.2.1:123","Algorithm":15,"NotAfter":"2027-01-15T08:00:00Z","At":"2026-09-21T14:13:20Z",` +
		`"C2S":"YzJz","S2C":"czJj","Cookies":["b25l"]}]}` + "\n"
	if got, err := os.ReadFile(s.path); err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s, %v", got, want, err)
	}
}

// A file that was cut off, overwritten or made by another version is not used,
// with one warning, and there are new sessions in its place afterwards.
func TestDamagedSessionsAreNotUsed(t *testing.T) {
	var log bytes.Buffer
	s := keeper(t, &log)
	s.keep([]engine.Session{aSession("a.test", 3)})
	good, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(bad []byte) {
		if err := os.WriteFile(s.path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if got := s.claim(); got != nil {
			t.Fatalf("%.40q gave %+v", bad, got)
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, s.path) || !strings.Contains(text, "code=nts-state-not-used") {
			t.Fatalf("%.40q: the log says %q", bad, text)
		}
	}
	for n := range len(good) - 1 { // the line end is no part of it
		try(good[:n])
	}
	try(bytes.Repeat([]byte{0}, maxSessionsFile+1))
	try(bytes.Replace(good, []byte(`"version":1`), []byte(`"version":2`), 1))
	try([]byte("my thesis"))
	s.keep([]engine.Session{aSession("a.test", 3)})
	log.Reset()
	if got := s.claim(); len(got) != 1 || log.Len() > 0 {
		t.Errorf("%+v, %s", got, log.String())
	}
}

// A file that others may read gives away keys, and one that others may write
// is theirs: whoever chooses the keys chooses the time.
func TestExposedSessionsAreNotUsed(t *testing.T) {
	var log bytes.Buffer
	s := keeper(t, &log)
	try := func(what string, spoil func() error) {
		s.keep([]engine.Session{aSession("a.test", 3)})
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if got := s.claim(); got != nil || strings.Count(log.String(), "code=nts-state-not-used") != 1 || !strings.Contains(log.String(), "chmod 600") {
			t.Errorf("%s: %+v; the log says %s", what, got, log.String())
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o620, 0o604, 0o602, 0o644, 0o610} {
		try(mode.String(), func() error { return os.Chmod(s.path, mode) })
	}
	if os.Geteuid() == 0 {
		try("another's", func() error { return os.Chown(s.path, 65534, 65534) })
	}
}

// Sessions that other authorities vouched for are not used, and leave the file.
func TestSessionsDependOnTheAuthorities(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	name := func(text string) string {
		if err := os.WriteFile(ca, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := trustIn(ca)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	one, other := name("one"), name("other")
	if one == other || one != name("one") || one == "" {
		t.Fatalf("%q and %q", one, other)
	}
	var log bytes.Buffer
	for now, want := range map[string]int{one: 1, other: 0, "": 0} {
		s := keeper(t, &log)
		s.trust = func(authority string) string {
			if authority != ca {
				t.Errorf("asked for %q", authority)
			}
			return now
		}
		x := aSession("a.test", 4)
		x.For.Authority, x.Trust = ca, one
		s.keep([]engine.Session{x})
		if got := s.claim(); len(got) != want {
			t.Errorf("%q: %+v", now, got)
		}
		if left, err := s.read(); len(left) != want {
			t.Errorf("%q: there are left %+v, %v", now, left, err)
		}
	}
	s := keeper(t, &log)
	x := aSession("a.test", 4)
	x.For.Authority, x.Trust = ca, "" // nobody vouched for it
	s.keep([]engine.Session{x})
	if got := s.claim(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// Who takes an authority out of the file that trusts it wants nothing more of
// the servers that it vouched for. A start asks anew, whatever it was left by
// the last one, and goes on with it where nothing has changed.
func TestAStartGoesOnOnlyUnderTheSameAuthorities(t *testing.T) {
	withdrawn, other := testcert.NewCA(t).PEM(), testcert.NewCA(t).PEM()
	both := slices.Concat(withdrawn, other)
	for name, tt := range map[string]struct {
		now  []byte
		want int
	}{"the same": {both, 1}, "one is withdrawn": {other, 0}} {
		t.Run(name, func(t *testing.T) {
			dir, ca := t.TempDir(), testcert.WriteFile(t, "ca.pem", both)
			start := func() (*daemon, *loop) {
				d := clientAndServer(t, dir)
				d.Config.Sources[0].CertificateAuthority = ca
				f, problems := readFiles(d.Config, d.started)
				if err := problems.Err(); err != nil {
					t.Fatal(err)
				}
				d.files.Store(f)
				l, err := d.takeClock()
				if err != nil {
					t.Fatal(err)
				}
				return d, l
			}
			d, l := start()
			x := aSession("localhost", 4)
			x.For.Authority, x.Trust = ca, d.files.Load().trust[ca]
			l.keep([]engine.Session{x})
			if err := os.WriteFile(ca, tt.now, 0o600); err != nil {
				t.Fatal(err)
			}
			restored := 0
			_, l = start()
			for _, ev := range l.queue {
				if r, ok := ev.(engine.Restored); ok {
					restored += len(r.Sessions)
				}
			}
			if restored != tt.want {
				t.Errorf("goes on with %d sessions, want %d", restored, tt.want)
			}
		})
	}
}

// What cannot be taken out of the file is not used: a disk that is read-only
// would give it to the next start again. A full disk gives it up.
func TestSessionsOnDisksThatDoNotWrite(t *testing.T) {
	if !testns.Inside(t, testns.Mounts, 0) {
		return
	}
	var log bytes.Buffer
	s := keeper(t, &log)
	dir := filepath.Dir(s.path)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s.keep([]engine.Session{aSession("a.test", 4)})
	remount := func(flags uintptr) {
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, "size=64k"); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	if got := s.claim(); got != nil || !strings.Contains(log.String(), "code=nts-state-not-used") || !strings.Contains(log.String(), "read-only") {
		t.Errorf("%+v; the log says %s", got, log.String())
	}
	log.Reset()
	for range 3 {
		s.keep([]engine.Session{aSession("a.test", 2)})
	}
	if strings.Count(log.String(), "code=nts-state-not-saved") != 1 {
		t.Errorf("the log says %s", log.String())
	}
	remount(0)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	got := s.claim()
	if len(got) != 1 || len(got[0].Cookies) != 2 || got[0].Spare != nil {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(s.path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	s.keep([]engine.Session{aSession("a.test", 2)})
	if got := s.claim(); len(got) != 1 || log.Len() > 0 {
		t.Errorf("%+v; the log says %s", got, log.String())
	}
}

// Nothing of what is kept shows where things are written for people.
func TestKeptSessionsDoNotShow(t *testing.T) {
	x := aSession("a.test", 4)
	x.Spare = x.Cookies
	for _, v := range []any{engine.Keep{Sessions: []engine.Session{x}}, engine.Restored{Sessions: []engine.Session{x}}} {
		line, err := json.Marshal(v)
		if err != nil || strings.Count(string(line), `"\u003csecret\u003e"`) != 10 || len(line) > 1200 {
			t.Errorf("%s, %v", line, err)
		}
	}
}

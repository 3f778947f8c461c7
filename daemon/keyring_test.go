package daemon

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

func open(t *testing.T, path string, log io.Writer, now time.Time) *keyring {
	t.Helper()
	k, err := openKeyring(keyringConfig{
		path: path, stale: 2, every: time.Hour, entropy: rand.Reader,
		now: func() time.Time { return now }, log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var contents = cookie.Contents{Algorithm: aead.AESSIVCMAC256, S2C: make([]byte, 32), C2S: bytes.Repeat([]byte{1}, 32)}

func seal(t *testing.T, k *keyring) []byte {
	t.Helper()
	c, err := sealer(k.current.Load().Newest())(contents.Algorithm, contents.C2S, contents.S2C)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A client's cookies open after a restart, and after as many renewals as
// stale keys are kept, but no more.
func TestCookiesOpenAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Unix(1_700_000_000, 0)
	var log bytes.Buffer
	k := open(t, path, &log, now)
	if !strings.Contains(log.String(), "Could not load nts server keys, starting with new set") {
		t.Errorf("no warning that there were no keys: %q", log.String())
	}
	c := seal(t, k)
	for renewals := range 4 {
		log.Reset()
		k = open(t, path, &log, now)
		if log.Len() > 0 {
			t.Errorf("after %d renewals the keys do not load: %s", renewals, log.String())
		}
		got, err := k.current.Load().Open(c)
		if want := renewals <= 2; (err == nil) != want {
			t.Errorf("after %d renewals: %v", renewals, err)
		} else if want && !bytes.Equal(got.C2S, contents.C2S) {
			t.Error("the cookie holds other keys")
		}
		if err := k.rotate(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The age of stored keys counts: the next renewal is due when it would have
// been without the restart.
func TestRenewalIsDueByTheAgeOfTheKeys(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	for age, want := range map[time.Duration]time.Duration{
		0: time.Hour, 20 * time.Minute: 40 * time.Minute, time.Hour: 0, 1000 * time.Hour: 0,
		-5 * time.Minute: time.Hour, // the clock was set back
	} {
		path := filepath.Join(t.TempDir(), "keys")
		var log bytes.Buffer
		open(t, path, &log, start)
		if k := open(t, path, &log, start.Add(age)); k.due != want {
			t.Errorf("keys %v old: due in %v, want %v", age, k.due, want)
		}
	}
}

func TestAFileThatHoldsNoKeysIsLeftAlone(t *testing.T) {
	for _, text := range []string{"", "hello", strings.Repeat("x", 84)} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		k := open(t, path, &log, time.Unix(1_700_000_000, 0))
		if err := k.rotate(); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != text {
			t.Errorf("%q became %q", text, b)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), path) {
			t.Errorf("%d lines: %s", n, log.String())
		}
	}
}

// RFC 8633 section 4.1: "Some implementations store the key in clear text.
// Therefore, it MUST only be readable by the NTP process." A key file is 0600
// when it is made, and again when the daemon has read it, at the start and at a
// reload.
func TestRFC8633Section4_1KeysAreTheDaemonsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	var log bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	closed := func(when string) {
		t.Helper()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", when, info.Mode(), err)
		}
	}
	k := open(t, path, &log, now)
	closed("new")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o644, 0o777, 0o600} {
		for when, read := range map[string]func(){
			"at the start": func() { k = open(t, path, &log, now) },
			"at a reload": func() {
				if err := k.reread(); err != nil {
					t.Error(err)
				}
			},
		} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			log.Reset()
			read()
			closed(fmt.Sprintf("%v %s", mode, when))
			want := 1
			if mode == 0o600 {
				want = 0
			}
			if n := strings.Count(log.String(), "code=keys-exposed file="+path); n != want || strings.Count(log.String(), "\n") != want {
				t.Errorf("%v %s: %q", mode, when, log.String())
			}
		}
	}
	if err := k.rotate(); err != nil {
		t.Fatal(err)
	}
	closed("renewed")
}

// Where the mode cannot be changed, a person has to.
func TestKeysThatStayExposedAreWarnedOf(t *testing.T) {
	var log bytes.Buffer
	k := open(t, "", &log, time.Unix(1_700_000_000, 0))
	k.file = t.TempDir() // whose mode is not touched
	k.shut()
	if !strings.Contains(log.String(), "run chmod 600") || !strings.Contains(log.String(), "code=keys-exposed") {
		t.Errorf("got %q", log.String())
	}
}

func TestKeysAreRenewedOnSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		k := open(t, "", &log, time.Now())
		first := fmt.Sprint(k.current.Load().Newest())
		go k.run(t.Context())
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if got := fmt.Sprint(k.current.Load().Newest()); got != first {
			t.Errorf("%s before it was due, first %s", got, first)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := fmt.Sprint(k.current.Load().Newest()); got == first {
			t.Errorf("still %s after it was due", got)
		}
	})
}

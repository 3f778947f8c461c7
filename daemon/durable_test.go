package daemon

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testlog"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// damage gives every beginning of a file, and random octets in its place.
func damage(good []byte, try func(bad []byte)) {
	for n := range good {
		try(good[:n])
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		bad := make([]byte, 1+r.IntN(2*len(good)))
		for i := range bad {
			bad[i] = byte(r.Uint32())
		}
		try(bad)
	}
	try(bytes.Repeat([]byte{0}, maxKeyFile+1))
}

// A key file that was cut off or overwritten is no reason not to serve: one
// warning names it and says what to do, keys are made, and the file stays as
// it is, for whoever wants to look at it, however often keys are renewed.
func TestADamagedKeyFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	now := time.Unix(1_700_000_000, 0)
	var log bytes.Buffer
	k := open(t, path, &log, now)
	for range 3 {
		if err := k.rotate(); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage(good, func(bad []byte) {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		k := open(t, path, &log, now)
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, path) || !strings.Contains(text, "move it away") {
			t.Fatalf("%d octets: the log says %q", len(bad), text)
		}
		c := seal(t, k)
		if err := k.rotate(); err != nil {
			t.Fatal(err)
		}
		if _, err := k.current.Load().Open(c); err != nil {
			t.Fatalf("%d octets: the keys that were made do not work: %v", len(bad), err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, bad) {
			t.Fatalf("%d octets: the file was changed, %v", len(bad), err)
		}
	})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A damaged state of the clock is a first start, with one warning, and stays
// until there is something better to keep.
func TestADamagedClockStateIsAFirstStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	var log bytes.Buffer
	keep := func() *saved { return &saved{path: path, log: slog.New(slog.NewTextHandler(&log, nil))} }
	st := engine.State{Frequency: 1e-5, FrequencySigma: 1e-8, AccumulatedSteps: proto.Second, SavedAt: time.Unix(1_700_000_000, 0).UTC()}
	if err := keep().save(st); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, known := keep().load(); !known || got != st {
		t.Fatalf("%+v, %v", got, known)
	}
	damage(good, func(bad []byte) {
		if bytes.Equal(bad, bytes.TrimRight(good, "\n")) {
			return // the line end is no part of what is kept
		}
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		got, known := keep().load()
		if known || got != (engine.State{}) {
			t.Fatalf("%q gave %+v", bad, got)
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, path) {
			t.Fatalf("%q: the log says %q", bad, text)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, bad) {
			t.Fatalf("%q: the file was changed, %v", bad, err)
		}
	})
	if err := keep().save(st); err != nil {
		t.Fatal(err)
	}
	if got, known := keep().load(); !known || got != st {
		t.Errorf("%+v, %v", got, known)
	}
}

// A disk that could not be written to is tried again, without a word for every
// time, and the keys are renewed on schedule all the same.
func TestKeysAreStoredAsSoonAsTheyCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "missing")
		path := filepath.Join(dir, "keys")
		var log testlog.Buffer
		k := open(t, path, &log, time.Now())
		go k.run(t.Context())
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "could not store"); n != 1 {
			t.Errorf("%d warnings that the keys are not stored:\n%s", n, log.String())
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c := seal(t, k)
		time.Sleep(storeRetry + time.Second)
		synctest.Wait()
		again := open(t, path, new(bytes.Buffer), time.Now())
		if _, err := again.current.Load().Open(c); err != nil {
			t.Errorf("the file does not hold the keys: %v", err)
		}
		if !strings.Contains(log.String(), "stored the nts server keys") {
			t.Errorf("the log says nothing of that:\n%s", log.String())
		}
		time.Sleep(time.Hour) // the next renewal has come
		synctest.Wait()
		if _, err := open(t, path, new(bytes.Buffer), time.Now()).current.Load().Open(seal(t, k)); err != nil {
			t.Errorf("the file does not hold the renewed keys: %v", err)
		}
	})
}

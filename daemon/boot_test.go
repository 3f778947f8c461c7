package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/internal/version"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// That the daemon ended at a panic threshold is remembered within a boot of
// the machine, even when nothing else is known about the clock yet.
func TestAPanicIsRememberedUntilTheNextBoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	keep := func() *saved { return &saved{path: path, log: slog.New(slog.DiscardHandler)} }
	if err := keep().save(engine.State{Panicked: true}); err != nil {
		t.Fatal(err)
	}
	if st, known := keep().load(); !known || !st.Panicked {
		t.Fatalf("%+v, %v", st, known)
	}
	s := keep()
	s.load()
	s.slewing(1e-6) // what is saved in between keeps it
	if st, _ := keep().load(); !st.Panicked || st.Frequency != 1e-6 {
		t.Errorf("%+v", st)
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), bootID()) {
		t.Fatalf("%s, %v", data, err)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte(bootID()), []byte("another"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if st, known := keep().load(); !known || st.Panicked {
		t.Errorf("after the next boot: %+v, %v", st, known)
	}
	if err := keep().save(engine.State{Frequency: 1e-6, FrequencySigma: 1e-8}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), "boot") {
		t.Errorf("a good state says %s, %v", data, err)
	}
}

// No step leads to a time before the build.
func TestTheBuildIsTheFloor(t *testing.T) {
	c, err := clock.NewSoftware(clock.SoftwareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{false, true} {
		st, err := resume(c, engine.State{}, known)
		if err != nil || st.Floor != proto.FromTime(version.Floor()) {
			t.Errorf("known %v: %+v, %v", known, st, err)
		}
	}
}

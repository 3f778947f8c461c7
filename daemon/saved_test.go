package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// running is a software clock that remembers its frequency, as the system's
// does.
type running struct {
	clock.Clock
	base float64
}

func (r running) Frequency() float64 { return r.base }

func TestFrequencySurvivesARestart(t *testing.T) {
	var log bytes.Buffer
	s := saved{path: filepath.Join(t.TempDir(), "missing", "clock.json"), log: slog.New(slog.NewTextHandler(&log, nil))}
	soft, err := clock.NewSoftware(clock.SoftwareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// A first start goes on at the frequency that the clock has.
	first, err := resume(running{soft, 7e-6}, s.load())
	if err != nil || first.Frequency != 7e-6 || first.FrequencySigma != 0 {
		t.Fatalf("first start: %+v, %v", first, err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := engine.State{Frequency: -12.5e-6, FrequencySigma: 3e-8, AccumulatedSteps: proto.Second, SavedAt: at}
	if err := s.save(want); err != nil {
		t.Fatal(err)
	}
	got, err := resume(running{soft, 7e-6}, s.load())
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Frequency - want.Frequency; d > 1e-12 || d < -1e-12 || got.FrequencySigma != want.FrequencySigma || !got.SavedAt.Equal(at) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if f := soft.Scale().Frequency(); f < -12.6e-6 || f > -12.4e-6 {
		t.Errorf("the clock runs at %v", f)
	}
	if log.Len() > 0 {
		t.Errorf("warned: %s", log.String())
	}
}

func TestAStateThatMakesNoSenseIsAFirstStart(t *testing.T) {
	for _, text := range []string{
		"", "{", "[]", "{}", `{"version":2,"frequency":1e-6,"frequency_sigma":1e-8}`,
		`{"version":1,"frequency":1,"frequency_sigma":1e-8}`, `{"version":1,"frequency":1e-6,"frequency_sigma":0}`,
		`{"version":1,"frequency":1e-6,"frequency_sigma":-1}`, strings.Repeat(" ", maxSavedFile+1),
	} {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "clock.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s := saved{path: path, log: slog.New(slog.NewTextHandler(&log, nil))}
		if got := s.load(); got != (engine.State{}) {
			t.Errorf("%.40q: %+v", text, got)
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), path) {
			t.Errorf("%.40q: logged %s", text, log.String())
		}
	}
}

// A state without a known frequency does not replace one that has it.
func TestNothingLearntIsNotSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	if err := (saved{path: path}).save(engine.State{Frequency: 1e-6}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("saved")
	}
}

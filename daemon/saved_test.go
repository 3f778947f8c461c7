package daemon

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
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
	s := &saved{path: filepath.Join(t.TempDir(), "missing", "clock.json"), log: slog.New(slog.NewTextHandler(&log, nil))}
	soft, err := clock.NewSoftware(clock.SoftwareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// A first start goes on at the frequency that the clock has.
	first, err := restart(s, running{soft, 7e-6})
	if err != nil || first.Frequency != 7e-6 || first.FrequencySigma != 0 {
		t.Fatalf("first start: %+v, %v", first, err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := engine.State{Frequency: -12.5e-6, FrequencySigma: 3e-8, AccumulatedSteps: proto.Second, SavedAt: at}
	if err := s.save(want); err != nil {
		t.Fatal(err)
	}
	got, err := restart(s, running{soft, 7e-6})
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Frequency - want.Frequency; d > 1e-12 || d < -1e-12 || got.FrequencySigma != want.FrequencySigma ||
		got.AccumulatedSteps != want.AccumulatedSteps || !got.SavedAt.Equal(at) {
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
		`{"version":1,"frequency":1,"frequency_sigma":1e-8}`, `{"version":1,"frequency":-501e-6,"frequency_sigma":1e-8}`,
		`{"version":1,"frequency":1e-6,"frequency_sigma":-1}`, `{"version":1,"frequency":1e-6,"frequency_sigma":1e-8,"accumulated_steps":-1}`,
		`{"version":1,"frequency":1e999,"frequency_sigma":1e-8}`, strings.Repeat(" ", maxSavedFile+1),
	} {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "clock.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s := &saved{path: path, log: slog.New(slog.NewTextHandler(&log, nil))}
		if got, known := s.load(); got != (engine.State{}) || known {
			t.Errorf("%.40q: %+v", text, got)
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), path) {
			t.Errorf("%.40q: logged %s", text, log.String())
		}
	}
}

// restart is what happens at the start of a daemon.
func restart(s *saved, c clock.Clock) (engine.State, error) {
	again := &saved{path: s.path, log: s.log}
	st, known := again.load()
	return resume(c, st, known)
}

// TestNothingLearntIsNotSaved: a state without a known frequency neither makes
// a file nor replaces a frequency that is known.
func TestNothingLearntIsNotSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	s := &saved{path: path}
	if err := s.save(engine.State{Frequency: 1e-6}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("saved")
	}
	if err := s.save(engine.State{Frequency: 2e-6, FrequencySigma: 1e-8}); err != nil {
		t.Fatal(err)
	}
	if err := s.save(engine.State{Frequency: 3e-6, AccumulatedSteps: 5 * proto.Second}); err != nil {
		t.Fatal(err)
	}
	if st, _ := (&saved{path: path}).load(); st.Frequency != 2e-6 || st.FrequencySigma != 1e-8 || st.AccumulatedSteps != 5*proto.Second {
		t.Errorf("got %+v", st)
	}
}

// TestStepsCountWithoutAFrequency: the threshold of accumulated steps holds
// across restarts from the first step on.
func TestStepsCountWithoutAFrequency(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	if err := (&saved{path: path}).save(engine.State{AccumulatedSteps: 5 * proto.Second}); err != nil {
		t.Fatal(err)
	}
	if st, known := (&saved{path: path}).load(); !known || st.AccumulatedSteps != 5*proto.Second || st.FrequencySigma != 0 {
		t.Errorf("got %+v, %v", st, known)
	}
}

// TestKilledDuringASlew: the next start runs the clock at its base frequency,
// whatever the kernel was left at, on a first start too.
func TestKilledDuringASlew(t *testing.T) {
	var log bytes.Buffer
	const base, slew = 7e-6, 200e-6
	for name, before := range map[string]engine.State{
		"first start": {},
		"learnt":      {Frequency: 6.99e-6, FrequencySigma: 1e-9},
		"outdated":    {Frequency: -3e-6, FrequencySigma: 1e-9},
	} {
		t.Run(name, func(t *testing.T) {
			soft, err := clock.NewSoftware(clock.SoftwareOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s := &saved{path: filepath.Join(t.TempDir(), "clock.json"), log: slog.New(slog.NewTextHandler(&log, nil))}
			if before.FrequencySigma > 0 {
				if err := s.save(before); err != nil {
					t.Fatal(err)
				}
			}
			l := &loop{clock: soft, slewing: s.slewing}
			l.steer(engine.Steer{ID: 1, Adjustment: kalman.Adjustment{Frequency: base, Slew: slew, For: time.Hour}})
			if f := soft.Scale().Frequency(); math.Abs(f-base-slew) > 1e-12 {
				t.Fatalf("no slew: the clock runs at %v", f)
			}
			// Killed here: nothing else is written, and the kernel goes on.
			st, err := restart(s, running{soft, base + slew})
			if err != nil {
				t.Fatal(err)
			}
			if f := soft.Scale().Frequency(); math.Abs(f-base) > baseTolerance || math.Abs(st.Frequency-base) > baseTolerance {
				t.Errorf("the clock runs at %v, and is taken to run at %v; want %v", f, st.Frequency, base)
			}
			if off := math.Abs(before.Frequency - base); before.FrequencySigma > 0 && off > baseTolerance && st.FrequencySigma < off {
				t.Errorf("the frequency that moved by %v is taken for sure to %v", off, st.FrequencySigma)
			}
		})
	}
	if log.Len() > 0 {
		t.Errorf("warned: %s", log.String())
	}
}

// TestSlewsWriteSeldom: the file is for emergencies, not for every poll.
func TestSlewsWriteSeldom(t *testing.T) {
	s := &saved{path: filepath.Join(t.TempDir(), "clock.json")}
	write := func(base float64) (written bool) {
		t.Helper()
		if err := os.RemoveAll(s.path); err != nil {
			t.Fatal(err)
		}
		s.slewing(base)
		_, err := os.Stat(s.path)
		return err == nil
	}
	for _, step := range []struct {
		base float64
		want bool
	}{{1e-6, true}, {1e-6, false}, {1.09e-6, false}, {0.91e-6, false}, {1.2e-6, true}, {1.2e-6, false}} {
		if got := write(step.base); got != step.want {
			t.Errorf("at %v: written %v", step.base, got)
		}
	}
}

// TestAFullDiskIsSaidOnce and stops no slew.
func TestAFullDiskIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	path := filepath.Join(dir, "file", "clock.json")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &saved{path: path, log: slog.New(slog.NewTextHandler(&log, nil))}
	for i := range 10 {
		s.slewing(float64(i) * 1e-6)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	s.slewing(1e-6)
	if st, known := s.load(); !known || st.Frequency != 1e-6 {
		t.Errorf("got %+v, %v", st, known)
	}
}

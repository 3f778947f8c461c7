package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/state"
	"github.com/ntpd-go/ntpd-go/internal/version"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// saved is the file that keeps what was learnt about a clock across
// restarts. An empty path keeps nothing. One goroutine uses it.
type saved struct {
	path  string
	log   *slog.Logger
	clock savedClock // what the file holds; Version 0 for nothing
	mute  bool       // the last write before a slew failed, and that was said
}

// savedClock is the content of the file. Seconds, and seconds a second. A
// FrequencySigma of 0 is a frequency at which the clock ran before anything
// was learnt about it.
type savedClock struct {
	Version          int       `json:"version"`
	Frequency        float64   `json:"frequency"`
	FrequencySigma   float64   `json:"frequency_sigma"`
	AccumulatedSteps float64   `json:"accumulated_steps"`
	SavedAt          time.Time `json:"saved_at"`
	// PanickedBoot is the boot of the machine in which the daemon last ended at
	// a panic threshold, unless a correction succeeded since.
	PanickedBoot string `json:"panicked_boot,omitempty"`
}

const (
	savedVersion = 1
	maxSavedFile = 4096   // octets
	maxFrequency = 500e-6 // s/s; no clock can be run at more

	// baseTolerance is how far the file's frequency may be from the clock's
	// when a slew begins, s/s: what a clock is off when it starts again from
	// the file after it was killed, and soon learnt.
	baseTolerance = 1e-7
)

// load reads the file. Without one, or with one that makes no sense, it is a
// first start, and known is false; the latter is left as it is until there is
// something better.
func (s *saved) load() (st engine.State, known bool) {
	if s.path == "" {
		return engine.State{}, false
	}
	state.Sweep(s.path)
	data, err := state.ReadFile(s.path, maxSavedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return engine.State{}, false
	}
	var c savedClock
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err == nil && !c.valid() {
		err = errors.New("it does not hold the state of a clock")
	}
	if err != nil {
		s.log.Warn("could not use the saved state of the clock; starting without it", "code", "state-not-used", "file", s.path, "error", err)
		return engine.State{}, false
	}
	s.clock = c
	return engine.State{
		Frequency: c.Frequency, FrequencySigma: c.FrequencySigma,
		AccumulatedSteps: proto.FromSeconds(c.AccumulatedSteps), SavedAt: c.SavedAt,
		Panicked: c.PanickedBoot != "" && c.PanickedBoot == bootID(),
	}, true
}

func (c *savedClock) valid() bool {
	return c.Version == savedVersion && math.Abs(c.Frequency) <= maxFrequency && c.FrequencySigma >= 0 && c.AccumulatedSteps >= 0
}

// save replaces the file. A state that does not know its frequency yet leaves
// the frequency that the file has; its steps count all the same.
func (s *saved) save(st engine.State) error {
	c := savedClock{
		Frequency: st.Frequency, FrequencySigma: st.FrequencySigma,
		AccumulatedSteps: st.AccumulatedSteps.Seconds(), SavedAt: st.SavedAt,
	}
	if st.Panicked {
		c.PanickedBoot = bootID()
	}
	if st.FrequencySigma <= 0 {
		if s.clock.Version == 0 && st.AccumulatedSteps <= 0 && !st.Panicked {
			return nil // not worth keeping
		}
		if c.FrequencySigma = s.clock.FrequencySigma; s.clock.Version != 0 {
			c.Frequency = s.clock.Frequency
		}
	}
	return s.write(c)
}

// slewing makes sure, before a slew begins, that the file knows the base
// frequency. Whoever kills the daemon during the slew leaves the kernel at
// another one, and then the file is all that knows where to go back to. That
// it cannot be written is said once: the clock is steered all the same.
func (s *saved) slewing(base float64) {
	c := s.clock
	off := base - c.Frequency
	if c.Version != 0 && math.Abs(off) <= baseTolerance {
		return
	}
	c.Frequency = base
	if c.FrequencySigma > 0 {
		c.FrequencySigma = math.Hypot(c.FrequencySigma, off) // it was not as sure as it said
	}
	err := s.write(c)
	if err != nil && !s.mute {
		s.log.Warn("could not save the clock's frequency before a slew", "code", "state-not-saved", "error", err)
	}
	s.mute = err != nil
}

// write replaces the file, and makes its directory when it is missing.
func (s *saved) write(c savedClock) error {
	if s.path == "" {
		return nil
	}
	c.Version = savedVersion
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("state of the clock: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return fmt.Errorf("state of the clock: %w (choose another state-path, or \"\" for none)", err)
	}
	if err := state.WriteFile(s.path, append(data, '\n'), 0o644); err != nil {
		return err
	}
	s.clock = c
	return nil
}

// take takes control of a clock that others may be steering, if it is one.
func take(c clock.Clock) error {
	if c, ok := c.(interface{ Take() error }); ok {
		return c.Take()
	}
	return nil
}

// resume runs a clock at the frequency that was saved, and returns the state
// to start the engine with. What was saved wins over what the clock runs at: a
// daemon that was killed during a slew left that behind as well. Without a
// saved one the clock goes on as it is.
func resume(c clock.Clock, st engine.State, known bool) (engine.State, error) {
	st.Floor = proto.FromTime(version.Floor())
	if !known {
		st.Frequency = frequency(c)
		return st, nil
	}
	applied, err := c.Apply(kalman.Adjustment{Frequency: st.Frequency})
	if err != nil {
		return st, err
	}
	st.Frequency = applied.Frequency
	return st, nil
}

// frequency is the base frequency at which a clock already runs, if it is one
// that remembers.
func frequency(c clock.Clock) float64 {
	if c, ok := c.(interface{ Frequency() float64 }); ok {
		return c.Frequency()
	}
	return 0
}

// statePath is where the state of a clock is kept: only the system's clock has
// an oscillator that is the same after a restart, and only where it is
// steered.
func (d *daemon) statePath() string {
	if d.ClockName != ClockSystem || len(d.Config.Sources) == 0 {
		return ""
	}
	return d.Config.Synchronization.StatePath
}

// Names of the clocks.
const (
	ClockSystem   = "system"
	ClockSoftware = "software"
)

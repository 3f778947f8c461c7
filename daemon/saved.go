package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/state"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// saved is the file that keeps what was learnt about a clock across
// restarts. An empty path keeps nothing.
type saved struct {
	path string
	log  *slog.Logger
}

// savedClock is the content of the file. Seconds, and seconds a second.
type savedClock struct {
	Version          int       `json:"version"`
	Frequency        float64   `json:"frequency"`
	FrequencySigma   float64   `json:"frequency_sigma"`
	AccumulatedSteps float64   `json:"accumulated_steps"`
	SavedAt          time.Time `json:"saved_at"`
}

const (
	savedVersion = 1
	maxSavedFile = 4096   // octets
	maxFrequency = 500e-6 // s/s; no clock can be run at more
)

// load reads the file. Without one, or with one that makes no sense, it is a
// first start; the latter is left as it is until there is something better.
func (s saved) load() engine.State {
	if s.path == "" {
		return engine.State{}
	}
	data, err := state.ReadFile(s.path, maxSavedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return engine.State{}
	}
	var c savedClock
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err == nil && !c.valid() {
		err = errors.New("it does not hold the state of a clock")
	}
	if err != nil {
		s.log.Warn("could not use the saved state of the clock; starting without it", "file", s.path, "error", err)
		return engine.State{}
	}
	return engine.State{Frequency: c.Frequency, FrequencySigma: c.FrequencySigma, SavedAt: c.SavedAt}
}

func (c *savedClock) valid() bool {
	return c.Version == savedVersion && c.Frequency >= -maxFrequency && c.Frequency <= maxFrequency && c.FrequencySigma > 0
}

// save replaces the file, and makes its directory when it is missing. A state
// that does not know its frequency yet is not worth keeping.
func (s saved) save(st engine.State) error {
	if s.path == "" || st.FrequencySigma <= 0 {
		return nil
	}
	data, err := json.Marshal(savedClock{
		Version: savedVersion, Frequency: st.Frequency, FrequencySigma: st.FrequencySigma,
		AccumulatedSteps: st.AccumulatedSteps.Seconds(), SavedAt: st.SavedAt,
	})
	if err != nil {
		return fmt.Errorf("state of the clock: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return fmt.Errorf("state of the clock: %w (choose another state-path, or \"\" for none)", err)
	}
	return state.WriteFile(s.path, append(data, '\n'), 0o644)
}

// resume runs a clock at the frequency that was saved, and returns the state
// to start the engine with. Without one the clock goes on as it is.
func resume(c clock.Clock, st engine.State) (engine.State, error) {
	if st.FrequencySigma <= 0 {
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

package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/ntpd-go/ntpd-go/daemon/state"
)

// ForgetSteps takes the accumulated steps out of the saved state of a clock
// whose daemon does not run, and returns how many seconds they were. The file
// keeps everything else but that a panic threshold ended the daemon: who accepts
// the steps accepts the next one too, within the limit at the start. Errors name the file.
func ForgetSteps(path string) (before float64, err error) {
	data, err := state.ReadFile(path, maxSavedFile)
	if err != nil {
		return 0, err
	}
	var c savedClock
	if err := json.Unmarshal(data, &c); err != nil || !c.valid() {
		return 0, errors.Join(fmt.Errorf("%s does not hold the state of a clock; remove it", path), err)
	}
	before = c.AccumulatedSteps
	c.AccumulatedSteps, c.PanickedBoot = 0, ""
	s := saved{path: path, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	return before, s.write(c)
}

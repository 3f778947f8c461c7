//go:build !linux

package clock

import "errors"

// System cannot be had on this operating system.
type System struct{ ReadOnly }

// NewSystem fails: only the clock of Linux can be steered.
func NewSystem() (*System, error) {
	return nil, errors.New("cannot adjust the clock of this operating system: set update-system-clock = false")
}

func kernelFrequency() float64 { return 0 }

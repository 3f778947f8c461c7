package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/vm/wire"
)

const (
	lifeState  = "/project/clock.json"
	lifeConfig = `[observability]
log-level = "info"
[[source]]
mode = "pool"
address = "pool.ntp.org"
count = 4
[[server]]
listen = "0.0.0.0:123"
[synchronization]
state-path = "` + lifeState + `"
single-step-panic-threshold = %s
startup-step-panic-threshold = %s
`
)

// lives follows a daemon through its life: the kernel is told what it should be told, a killed daemon's frequency is used by
// the next one, and a panic threshold ends it with exit code 70 and leaves the clock.
func lives(ctx context.Context, m *machine) (string, error) {
	if err := m.startServers(ctx, "pool.ntp.org"); err != nil {
		return "", err
	}
	if err := m.write(ctx, "/project/life.toml", fmt.Sprintf(lifeConfig, "1000", `"inf"`)); err != nil {
		return "", err
	}
	if err := m.setClock(ctx, 500*time.Millisecond); err != nil {
		return "", err
	}
	defer m.keepLogs("first", "second", "third")
	if err := m.start(ctx, "first", "ntp-daemon", "-c", "life.toml"); err != nil {
		return "", err
	}
	before, err := m.settled(ctx)
	if err != nil {
		return "", err
	}
	saved, err := m.savedFrequency(ctx)
	if err != nil {
		return "", err
	}
	// Killed, it can undo nothing: whatever it was doing to the kernel's frequency stays, here something worse.
	if _, err := m.call(ctx, wire.Request{Op: wire.Stop, Name: "first", Signal: int(syscall.SIGKILL)}); err != nil {
		return "", err
	}
	if r, err := m.run(ctx, "busybox", "adjtimex", "-f", strconv.Itoa(400<<16)); err != nil || r.Code != 0 {
		return "", fmt.Errorf("cannot spoil the frequency: %w %s", err, r.Output)
	}
	if err := m.start(ctx, "second", "ntp-daemon", "-c", "life.toml"); err != nil {
		return "", err
	}
	after, err := m.firstFrequency(ctx, "second")
	if err != nil {
		return "", err
	}
	if math.Abs(after-saved) > 1 {
		return "", fmt.Errorf("the second daemon begins at %+.3f ppm, not at the saved %+.3f", after, saved)
	}
	if _, err := m.settled(ctx); err != nil {
		return "", fmt.Errorf("after the restart: %w", err)
	}
	return fmt.Sprintf("kernel: %v; restarted at %+.3f ppm after %+.3f had been saved", before, after, saved), m.panics(ctx)
}

// panics proves both thresholds: what is too far off ends the daemon, and the clock stays as it was.
func (m *machine) panics(ctx context.Context) error {
	// Somebody sets the clock while the daemon runs.
	for _, c := range []struct {
		name, config string
		running      bool
	}{
		{"second", "", true},
		{"third", fmt.Sprintf(lifeConfig, "1000", "60"), false},
	} {
		const wrong = 2 * time.Hour
		if err := m.setClock(ctx, wrong); err != nil {
			return err
		}
		if !c.running {
			if err := m.write(ctx, "/project/life.toml", c.config); err != nil {
				return err
			}
			if err := m.start(ctx, c.name, "ntp-daemon", "-c", "life.toml"); err != nil {
				return err
			}
		}
		var text string
		wait, cancel := context.WithTimeout(ctx, 3*time.Minute)
		err := lab.Eventually(wait, time.Second, func() error {
			r, err := m.call(ctx, wire.Request{Op: wire.Log, Name: c.name})
			text = r.Output
			switch {
			case err != nil:
				return err
			case r.Code == -1:
				return fmt.Errorf("%s runs on with the clock %v wrong", c.name, wrong)
			case r.Code != 70:
				return lab.Final{Err: fmt.Errorf("%s ended with %d, want 70", c.name, r.Code)}
			}
			return nil
		})
		cancel()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, text)
		}
		ahead, uncertainty, err := m.clockError(ctx)
		if err != nil {
			return err
		}
		if (ahead - wrong).Abs() > uncertainty+time.Second {
			return fmt.Errorf("%s: the clock is %v ahead after the panic, was %v\n%s", c.name, ahead, wrong, text)
		}
		if !strings.Contains(text, "panic-threshold") {
			return fmt.Errorf("%s does not name the threshold:\n%s", c.name, text)
		}
	}
	return nil
}

// settled waits until the guest is within a millisecond and says so to its kernel.
func (m *machine) settled(ctx context.Context) (kernelState, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	var k kernelState
	err := lab.Eventually(ctx, time.Second, func() error {
		a, err := m.ask()
		if err != nil {
			return err
		}
		if a.Offset.Abs() > time.Millisecond || a.Leap == 3 {
			return fmt.Errorf("guest's clock is off by %v, leap %d", a.Offset, a.Leap)
		}
		if k, err = m.kernel(ctx); err != nil {
			return err
		}
		const staUnsync = 0x40
		if k.status&staUnsync != 0 || k.maxError <= 0 || k.maxError > 100*time.Millisecond || k.estError > k.maxError {
			return fmt.Errorf("the kernel is told %v", k)
		}
		if k.maxError < a.Offset.Abs()-a.Delay/2 {
			return lab.Final{Err: fmt.Errorf("the kernel is told %v, and the clock is off by %v", k, a.Offset)}
		}
		return nil
	})
	return k, err
}

// kernelState is what ntp_adjtime says.
type kernelState struct {
	frequency          float64 // ppm
	maxError, estError time.Duration
	status             int
}

func (k kernelState) String() string {
	return fmt.Sprintf("frequency %+.3f ppm, maxerror %v, esterror %v, status %#x", k.frequency, k.maxError, k.estError, k.status)
}

var kernelLine = regexp.MustCompile(`(?m)^(?:-\S)?\s*(freq\.adjust|maxerror|esterror|status):\s+(-?\d+)`)

// kernel reads the state of the guest's clock.
func (m *machine) kernel(ctx context.Context) (k kernelState, err error) {
	r, err := m.run(ctx, "busybox", "adjtimex")
	if err != nil {
		return k, err
	}
	found := kernelLine.FindAllStringSubmatch(r.Output, -1)
	if len(found) != 4 {
		return k, fmt.Errorf("adjtimex says:\n%s", r.Output)
	}
	for _, f := range found {
		n, err := strconv.Atoi(f[2])
		if err != nil {
			return k, err
		}
		switch f[1] {
		case "freq.adjust":
			k.frequency = float64(n) / 65536
		case "maxerror":
			k.maxError = time.Duration(n) * time.Microsecond
		case "esterror":
			k.estError = time.Duration(n) * time.Microsecond
		case "status":
			k.status = n
		}
	}
	return k, nil
}

// savedFrequency waits for the state file and returns the frequency in it, ppm.
func (m *machine) savedFrequency(ctx context.Context) (ppm float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err = lab.Eventually(ctx, time.Second, func() error {
		r, err := m.call(ctx, wire.Request{Op: wire.Read, Args: []string{lifeState}})
		if err != nil {
			return err
		}
		var file struct {
			Frequency float64 `json:"frequency"`
		}
		if err := json.Unmarshal([]byte(r.Output), &file); err != nil {
			return lab.Final{Err: fmt.Errorf("%s: %w: %q", lifeState, err, r.Output)}
		}
		ppm = file.Frequency * 1e6
		return nil
	})
	return ppm, err
}

// firstFrequency is the kernel's frequency as soon as the daemon has done something about it, ppm.
func (m *machine) firstFrequency(ctx context.Context, name string) (ppm float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = lab.Eventually(ctx, 50*time.Millisecond, func() error {
		if text, running, err := m.log(ctx, name); err != nil || !running {
			return lab.Final{Err: fmt.Errorf("%s has ended: %w\n%s", name, err, text)}
		}
		k, err := m.kernel(ctx)
		if err != nil {
			return err
		}
		if k.frequency > 300 {
			return fmt.Errorf("the kernel still runs at %+.3f ppm", k.frequency)
		}
		ppm = k.frequency
		return nil
	})
	return ppm, err
}

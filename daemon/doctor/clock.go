package doctor

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/probe"
)

// clockPlausible compares the clock with moments that are surely over: when
// this program was built, when its files were written, what time the daemon
// saved last.
func (e *exam) clockPlausible() {
	latest, what := e.Built, "this program was built"
	later := func(t time.Time, w string) {
		if t.After(latest) {
			latest, what = t, w
		}
	}
	modified := func(path, w string) {
		if info, err := os.Stat(path); err == nil {
			later(info.ModTime(), w)
		}
	}
	modified(e.Config, e.Config+" was written")
	if e.cfg != nil {
		s := &e.cfg.Synchronization
		if t, ok := savedTime(s.StatePath); ok {
			later(t, "the daemon saved in "+s.StatePath)
		}
		modified(s.StatePath, s.StatePath+" was written")
		modified(e.cfg.Keyset.KeyStoragePath, e.cfg.Keyset.KeyStoragePath+" was written")
	}
	measured := "says " + e.now.UTC().Format(time.RFC3339)
	const slack = time.Minute
	if behind := latest.Sub(e.now); behind > slack {
		e.fail("clock", "", fmt.Sprintf("%s, which is %s before %s", measured, probe.Magnitude(behind.Seconds()), what),
			"later than "+latest.UTC().Format(time.RFC3339), "set the clock roughly once (date -s), and see why it was lost: battery of the hardware clock, or none; certificates do not verify until then")
		return
	}
	const lifetime = 20 * 365 * 24 * time.Hour
	if !e.Built.IsZero() && e.now.Sub(e.Built) > lifetime {
		e.fail("clock", "", measured+", 20 years and more after this program was built", "a date of these years", "set the clock roughly once (date -s)")
		return
	}
	if latest.IsZero() {
		e.ok("clock", "", measured)
		return
	}
	e.ok("clock", "", fmt.Sprintf("%s, after %s (%s)", measured, what, latest.UTC().Format(time.DateOnly)))
}

// savedTime reads when the daemon saved its state last.
func savedTime(path string) (time.Time, bool) {
	data, err := os.ReadFile(path)
	var saved struct {
		SavedAt time.Time `json:"saved_at"`
	}
	if err != nil || json.Unmarshal(data, &saved) != nil {
		return time.Time{}, false
	}
	return saved.SavedAt, !saved.SavedAt.IsZero()
}

// kernel is what the kernel says of its clock; it is only read.
type kernel struct {
	known     bool
	unsynced  bool
	frequency float64 // s/s
	tick      int64   // µs
	maxError  float64 // s
}

// steering looks at the kernel's clock again: who moved it meanwhile, and
// does what it says agree with the daemon?
func (e *exam) steering() {
	if !e.kernel.known || !e.steersSystem() {
		return // not there, or none of our business
	}
	now := readKernel()
	k := &e.kernel
	ours := e.answer != nil && e.answer.Own != nil && e.answer.Own.Clock == "system" || e.answer == nil && e.machine.daemon(e.machine.ours) != nil
	changed := ""
	switch {
	case now.frequency != k.frequency:
		changed = fmt.Sprintf("its frequency went from %+.3f to %+.3f ppm", k.frequency*1e6, now.frequency*1e6)
	case now.tick != k.tick:
		changed = fmt.Sprintf("its tick went from %d to %d µs", k.tick, now.tick)
	}
	synchronised := e.answer != nil && e.answer.Own != nil && e.answer.Own.Synchronised && e.answer.Own.Clock == "system"
	words := fmt.Sprintf("frequency %+.3f ppm, maximum error %s, %s", now.frequency*1e6, probe.Magnitude(now.maxError), syncWord(now.unsynced))
	switch {
	case changed != "" && !ours:
		e.fail("kernel-clock", "", "someone else steers it: in the time of this check "+changed, "a clock that only our daemon steers", "find the program (it holds CAP_SYS_TIME), or the hypervisor's tools, and stop it")
	case synchronised && now.unsynced:
		e.fail("kernel-clock", "", words+", although the daemon is synchronised", "the flag STA_UNSYNC clear", "another program sets the flag, or the daemon lacks CAP_SYS_TIME")
	case abs(now.frequency) > 490e-6:
		e.warn("kernel-clock", "", words, "less than 500 ppm", "the oscillator is off by more than the kernel can correct: see the clocksource and, in a virtual machine, the host")
	default:
		e.ok("kernel-clock", "", words)
	}
}

func syncWord(unsynced bool) string {
	if unsynced {
		return "not synchronised"
	}
	return "synchronised"
}

func abs(f float64) float64 { return max(f, -f) }

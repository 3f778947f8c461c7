package clock_test

import (
	"time"

	"github.com/ntpd-go/ntpd-go/clock/clocktest"
	"github.com/ntpd-go/ntpd-go/proto"
	"golang.org/x/sys/unix"
)

// adjtimex is a model of the part of Linux that keeps CLOCK_REALTIME
// (kernel/time/ntp.c and timekeeping.c, as adjtimex(2) documents it).
type adjtimex struct {
	*clocktest.World
	freq, tick         int64
	offset, adjust     int64 // what is left of PLL and adjtime(3) corrections
	maxerror, esterror int64
	status             int32
	state              int

	broken       error // what every call ends with
	unprivileged bool
	stubborn     bool             // timers go off although they were stopped
	meanwhile    func()           // happens once, when CLOCK_BOOTTIME is read
	refuse       map[uint32]error // by a mode that is asked for
	calls        int
}

func newAdjtimex(w *clocktest.World) *adjtimex {
	return &adjtimex{World: w, tick: 10_000, status: unix.STA_UNSYNC, maxerror: 16_000_000, esterror: 16_000_000}
}

func (k *adjtimex) Boot() proto.Instant {
	if f := k.meanwhile; f != nil {
		k.meanwhile = nil
		f()
	}
	return k.World.Boot()
}

func (k *adjtimex) AfterFunc(d time.Duration, f func()) func() bool {
	stop := k.World.AfterFunc(d, f)
	if k.stubborn {
		return func() bool { return false }
	}
	return stop
}

// tickRate is what a microsecond a tick is in units of frequency.
const tickRate = 100 << 16

const readOnlyStatus = unix.STA_PPSSIGNAL | unix.STA_PPSJITTER | unix.STA_PPSWANDER | unix.STA_PPSERROR |
	unix.STA_CLOCKERR | unix.STA_NANO | unix.STA_MODE | unix.STA_CLK

func (k *adjtimex) Adjtime(t *unix.Timex) (int, error) {
	k.calls++
	if err := k.check(t); err != nil {
		return -1, err
	}
	if t.Modes == unix.ADJ_OFFSET_SINGLESHOT {
		left := k.adjust
		k.adjust = int64(t.Offset)
		put(&t.Offset, left)
		return k.state, nil
	}
	k.modes(t)
	k.SetRate(k.freq + (k.tick-10_000)*tickRate)
	t.Status = k.status
	put(&t.Freq, k.freq)
	put(&t.Tick, k.tick)
	put(&t.Offset, k.offset)
	put(&t.Maxerror, k.maxerror)
	put(&t.Esterror, k.esterror)
	return k.state, nil
}

// put fills a field, whose width is the machine's.
func put[T ~int32 | ~int64](field *T, v int64) { *field = T(v) }

// check is timekeeping_validate_timex.
func (k *adjtimex) check(t *unix.Timex) error {
	if k.broken != nil {
		return k.broken
	}
	for mode, err := range k.refuse {
		if t.Modes&mode != 0 {
			return err
		}
	}
	switch {
	case t.Modes != 0 && k.unprivileged:
		return unix.EPERM
	case t.Modes&unix.ADJ_TICK != 0 && (t.Tick < 9_000 || t.Tick > 11_000):
		return unix.EINVAL
	case t.Modes&unix.ADJ_SETOFFSET != 0 && (t.Time.Usec < 0 ||
		t.Modes&unix.ADJ_NANO != 0 && t.Time.Usec >= 1e9 ||
		t.Modes&unix.ADJ_NANO == 0 && t.Time.Usec >= 1e6):
		return unix.EINVAL
	}
	return nil
}

func (k *adjtimex) modes(t *unix.Timex) {
	if t.Modes&unix.ADJ_SETOFFSET != 0 {
		by := time.Duration(t.Time.Sec) * time.Second
		if t.Modes&unix.ADJ_NANO != 0 {
			by += time.Duration(t.Time.Usec)
		} else {
			by += time.Duration(t.Time.Usec) * time.Microsecond
		}
		k.Set(by)
		// ntp_clear
		k.adjust, k.offset = 0, 0
		k.status |= unix.STA_UNSYNC
		k.maxerror, k.esterror = 16_000_000, 16_000_000
	}
	if t.Modes&unix.ADJ_STATUS != 0 {
		if k.status&unix.STA_PLL != 0 && t.Status&unix.STA_PLL == 0 {
			k.status = unix.STA_UNSYNC
		}
		k.status = k.status&readOnlyStatus | t.Status&^readOnlyStatus
	}
	if t.Modes&unix.ADJ_NANO != 0 {
		k.status |= unix.STA_NANO
	}
	if t.Modes&unix.ADJ_FREQUENCY != 0 {
		k.freq = min(max(int64(t.Freq), -500<<16), 500<<16)
	}
	if t.Modes&unix.ADJ_MAXERROR != 0 {
		k.maxerror = int64(t.Maxerror)
	}
	if t.Modes&unix.ADJ_ESTERROR != 0 {
		k.esterror = int64(t.Esterror)
	}
	if t.Modes&unix.ADJ_OFFSET != 0 && k.status&unix.STA_PLL != 0 {
		k.offset = int64(t.Offset)
	}
	if t.Modes&unix.ADJ_TICK != 0 {
		k.tick = int64(t.Tick)
	}
}

package clock

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// listenAlarm returns a channel that gets a value when CLOCK_REALTIME is set
// and when the machine wakes up, and what ends that: a timer that goes off in
// a far future, unless the kernel cancels it because "the real-time clock
// undergoes a discontinuous change" (TFD_TIMER_CANCEL_ON_SET,
// timerfd_settime(2)). A nil channel says that the kernel will not tell.
func listenAlarm() (<-chan struct{}, func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, func() {}
	}
	const year = 365 * 24 * time.Hour
	far := unix.ItimerSpec{
		Value:    unix.NsecToTimespec(time.Now().Add(year).UnixNano()),
		Interval: unix.NsecToTimespec(int64(year)),
	}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &far, nil); err != nil {
		_ = unix.Close(fd)
		return nil, func() {}
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	rings := make(chan struct{}, 1)
	go func() {
		var count [8]byte
		for {
			if _, err := f.Read(count[:]); err != nil && !errors.Is(err, unix.ECANCELED) {
				return // closed
			}
			select {
			case rings <- struct{}{}:
			default:
			}
		}
	}()
	return rings, func() { _ = f.Close() }
}

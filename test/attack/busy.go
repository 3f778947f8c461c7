package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

var busyRows = []scene.Row{
	{ID: "T94", Alone: true, What: "a machine whose processors are busy: how right are the stamps?", Prove: busyStamps},
}

// stamps are of one request over the loopback interface: how long after it was sent the server says that it arrived, and
// how long after that it says that the answer leaves. The first is the error of the kernel's stamp and the time of the
// packet's way, microseconds; the second is what a stamp of the program would have been wrong by.
type stamps struct{ arrived, read []time.Duration }

func (s *stamps) String() string {
	return fmt.Sprintf("arrival stamps %v late (19 of 20: %v), the program gets to it %v later (19 of 20: %v)",
		part(s.arrived, 0.5), part(s.arrived, 0.95), part(s.read, 0.5), part(s.read, 0.95))
}

// part is the value that a part of all do not exceed.
func part(d []time.Duration, p float64) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[int(p*float64(len(d)-1))].Round(100 * time.Nanosecond)
}

func busyStamps(t *scene.Trial) {
	const n = 500
	h, d, _ := served(t, scene.Server)
	idle := measureStamps(t, h, n)
	t.Control("idle: %v", idle)
	// More programs that calculate than there are processors, with the server's own priority.
	burners := 3 * runtime.NumCPU()
	for range burners {
		_, err := h.Start(lab.Program{Args: []string{"sh", "-c", "while :; do :; done"}, Log: "burner.log"})
		t.Check(err)
	}
	t.Pause(time.Second)
	busy := measureStamps(t, h, n)
	t.Alive(d.Process)
	t.Saw("beside %d programs that calculate: %v", burners, busy)
	const slack = 20 * time.Microsecond
	if got, most := part(busy.arrived, 0.5), 2*part(idle.arrived, 0.5)+slack; got > most {
		t.Fatal("kernel stamps are %v late, when idle %v: %v, %v", got, part(idle.arrived, 0.5), busy, idle)
	}
	if part(busy.read, 0.95) < 2*part(busy.arrived, 0.95) {
		t.Fatal("the processors are not busy enough to show anything: %v", busy)
	}
}

// measureStamps asks a server n times. What is not answered at once is not counted.
func measureStamps(t *scene.Trial, h *lab.Host, n int) *stamps {
	s := &stamps{}
	t.Check(h.Inside(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		timeout := unix.NsecToTimeval(int64(time.Second))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 123, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return err
		}
		request, answer := scene.Plain(), make([]byte, 512)
		for range n {
			if _, err := rand.Read(request[40:]); err != nil {
				return err
			}
			// Straight to the kernel, which stamps the packet before the call is over.
			sent := time.Now().UnixNano()
			if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&request[0])), uintptr(len(request))); errno != 0 {
				return errno
			}
			got, err := unix.Read(fd, answer)
			if err != nil || got < 48 || string(answer[24:32]) != string(request[40:48]) {
				continue
			}
			received, left := unixTime(answer[32:40]), unixTime(answer[40:48])
			s.arrived = append(s.arrived, time.Duration(received-sent))
			s.read = append(s.read, time.Duration(left-received))
			time.Sleep(2 * time.Millisecond)
		}
		return nil
	}))
	if len(s.arrived) < n*9/10 {
		t.Fatal("%d of %d requests answered", len(s.arrived), n)
	}
	return s
}

// unixTime reads a timestamp of this era in nanoseconds.
func unixTime(b []byte) int64 {
	const toUnix = 2208988800
	seconds, fraction := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	return (int64(seconds)-toUnix)*int64(time.Second) + int64(fraction)*int64(time.Second)>>32
}

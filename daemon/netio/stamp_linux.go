package netio

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/ntpd-go/ntpd-go/proto"
	"golang.org/x/sys/unix"
)

// oobLen holds every control message that a socket of ours can get at once:
// a timestamp (64 octets), an extended error with its address (60), and the
// packet information of a server socket.
const oobLen = 512

// timestamping asks for software timestamps in both directions; those of
// transmission come alone (without the packet) and numbered.
const timestamping = unix.SOF_TIMESTAMPING_SOFTWARE |
	unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_TX_SOFTWARE |
	unix.SOF_TIMESTAMPING_OPT_ID | unix.SOF_TIMESTAMPING_OPT_TSONLY

// prepare sets the options of a client socket before it is connected. A
// kernel that has no timestamps is not an error: the daemon takes its own.
func prepare(fd int, device string) error {
	if device != "" {
		if err := unix.BindToDevice(fd, device); err != nil {
			return fmt.Errorf("could not bind to the interface %q: %w", device, err)
		}
	}
	enableStamps(fd, timestamping)
	return nil
}

// enableStamps switches timestamps on and reports whether the kernel agreed.
// The newer option carries 64-bit seconds on every architecture.
func enableStamps(fd, flags int) bool {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, flags) == nil {
		return true
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_OLD, flags) == nil
}

// openAnchor returns a socket without a port that keeps timestamps switched
// on. Where there is none, the daemon takes its own.
func openAnchor() io.Closer {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	}
	if err != nil {
		return io.NopCloser(nil)
	}
	enableStamps(fd, timestamping)
	return os.NewFile(uintptr(fd), "timestamping")
}

// readErrorQueue takes one message off a socket's error queue. got says that
// it was a transmit timestamp, more that there may be another message.
func readErrorQueue(fd int, oob []byte) (stamp proto.Stamp, got, more bool) {
	for {
		_, n, _, _, err := unix.Recvmsg(fd, nil, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return proto.Stamp{}, false, false
		}
		stamp = controlStamp(oob[:n])
		return stamp, !stamp.At.IsZero(), true
	}
}

// controlStamp finds the software timestamp among control messages; the zero
// Stamp when there is none.
func controlStamp(oob []byte) proto.Stamp {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if h.Level == unix.SOL_SOCKET && (h.Type == unix.SO_TIMESTAMPING_NEW || h.Type == unix.SO_TIMESTAMPING_OLD) {
			if at := softwareTime(data, h.Type == unix.SO_TIMESTAMPING_NEW); !at.IsZero() {
				return proto.Stamp{At: at, Source: proto.StampKernel, Err: kernelErr}
			}
		}
		oob = rest
	}
	return proto.Stamp{}
}

// softwareTime reads the first of the three times of a timestamping message:
// seconds and nanoseconds in the machine's byte order, all zero when the
// kernel took none. wide is the layout of SO_TIMESTAMPING_NEW, which is 64
// bits each; the old one has the machine's word.
func softwareTime(data []byte, wide bool) proto.Timestamp {
	var sec, nsec int64
	switch e := binary.NativeEndian; {
	case (wide || wordLen == 8) && len(data) >= 16:
		sec, nsec = int64(e.Uint64(data)), int64(e.Uint64(data[8:]))
	case !wide && wordLen == 4 && len(data) >= 8:
		sec, nsec = int64(int32(e.Uint32(data))), int64(int32(e.Uint32(data[4:])))
	}
	if sec == 0 && nsec == 0 {
		return 0
	}
	return proto.FromUnix(sec, nsec)
}

// wordLen is the length of the kernel's long in octets.
const wordLen = 4 << (^uintptr(0) >> 63)

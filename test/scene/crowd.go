package scene

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Crowd opens connections to an IPv4 address without waiting for them: those that the backlog has no room for wait in
// vain, as an attacker's would. refused is the first error of one that was refused at once. closeAll closes them, and so
// does the end of the row.
func (t *Trial) Crowd(h *lab.Host, addr string, n int) (closeAll func(), refused error) {
	to := At(addr)
	var sockets []int
	closeAll = func() {
		for _, fd := range sockets {
			syscall.Close(fd)
		}
		sockets = nil
	}
	t.Cleanup(closeAll)
	t.Check(h.Inside(func() error {
		for range n {
			fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("socket %d: %w", len(sockets), err)
			}
			sockets = append(sockets, fd)
			err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
			if err != nil && !errors.Is(err, syscall.EINPROGRESS) && refused == nil {
				refused = err
			}
		}
		return nil
	}))
	return closeAll, refused
}

// ClientHello is the beginning of a handshake with the key exchange as it is on the wire.
func ClientHello() []byte {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go func() {
		_ = tls.Client(here, &tls.Config{ServerName: "server.test", NextProtos: []string{nts.ALPN}}).Handshake()
	}() // fails at the end
	b := make([]byte, 4096)
	n, err := there.Read(b)
	if err != nil {
		panic(err) // a pipe does not fail
	}
	return b[:n]
}

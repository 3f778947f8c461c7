package control

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// mayCommand looks at who is at the other end: the permissions of the socket
// file should have kept everybody out but root and our own user.
func mayCommand(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return errors.New("this is no Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var inner error
	if err := raw.Control(func(fd uintptr) { peer, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if inner != nil {
		return inner
	}
	if !allowed(int(peer.Uid), os.Geteuid()) {
		return fmt.Errorf("user %d may not command this daemon; run it as root", peer.Uid)
	}
	return nil
}

// allowed reports whether a user may command a daemon that runs as us.
func allowed(user, us int) bool { return user == 0 || user == us }

package netio

import (
	"encoding/binary"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// groups are the announcements to listen to. Changes of links matter as far as
// they change addresses or routes, which are announced too.
const groups = unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// listenNews lets the kernel tell of changes. A nil channel says that it does
// not.
func listenNews() (<-chan news, func()) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, nil
	}
	f := os.NewFile(uintptr(fd), "netlink")
	out, done := make(chan news), make(chan struct{})
	go func() {
		defer close(out)
		readNews(f, out, done)
	}()
	return out, func() { close(done); _ = f.Close() }
}

// readNews reads announcements until the socket is closed.
func readNews(f *os.File, out chan<- news, done <-chan struct{}) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var from unix.Sockaddr
		var fault error
		err := raw.Read(func(fd uintptr) bool {
			n, from, fault = unix.Recvfrom(int(fd), buf, 0)
			return fault != unix.EAGAIN && fault != unix.EINTR
		})
		var what news
		var any bool
		switch sender, ok := from.(*unix.SockaddrNetlink); {
		case err != nil:
			return
		case fault == unix.ENOBUFS: // announcements were lost
			what, any = news{routes: true}, true
		case fault != nil:
			return
		case ok && sender.Pid == 0: // the kernel, not another process
			what, any = parseNews(buf[:n])
		}
		if !any {
			continue
		}
		select {
		case out <- what:
		case <-done:
			return
		}
	}
}

// parseNews finds out what a datagram of announcements is about: nothing, if
// only about routes that are not default routes of the main table.
func parseNews(b []byte) (what news, any bool) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return news{}, false
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			any = true
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			if defaultRoute(m.Data) {
				what.routes, any = true, true
			}
		}
	}
	return what, any
}

// defaultRoute reads the start of a route message, struct rtmsg: family,
// length of the destination prefix, length of the source prefix, type of
// service, table, protocol, scope, type.
func defaultRoute(b []byte) bool {
	return len(b) >= unix.SizeofRtMsg && b[1] == 0 && b[4] == unix.RT_TABLE_MAIN &&
		b[7] == unix.RTN_UNICAST && binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED == 0
}

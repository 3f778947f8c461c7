package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
)

// roleOdd is a server that is none of those that should be there.
const roleOdd = "doctor-odd"

// odd starts one on the Internet: what it is, its address and port, and files.
func (w *world) odd(kind, at string, files ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return w.start(w.internet, kind+".log", append([]string{self, roleOdd, kind, at}, files...)...)
}

// serveOdd plays args[0] at args[1]:
//
//	echo      sends datagrams back as they come (RFC 862)
//	leap      an NTP server that says stratum 2 and that it does not know the time
//	stranger  an NTP server whose replies answer other requests
//	servfail  a name server that fails
//	banner    speaks first, and no TLS
//	https     a web server, with args[2] as its chain and args[3] as its key
func serveOdd(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: %s KIND ADDRESS [FILE...]", roleOdd)
	}
	switch args[0] {
	case "echo":
		return datagrams(args[1], func(b []byte) []byte { return b })
	case "leap":
		return ntpReplies(args[1], 0, 2, 0, "LEAP", func(b []byte) { b[0] |= 3 << 6 })
	case "stranger":
		return ntpReplies(args[1], 0, 2, 0, "ODD", func(b []byte) { b[24] ^= 0xff })
	case "servfail":
		return datagrams(args[1], func(b []byte) []byte {
			b[2], b[3] = b[2]|0x80, b[3]&0x70|2
			return b
		})
	case "banner":
		return connections(args[1], func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2p1\r\n") })
	case "https":
		pair, err := tls.LoadX509KeyPair(args[2], args[3])
		if err != nil {
			return err
		}
		return connections(args[1], func(c net.Conn) {
			_, _ = bufio.NewReader(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})).ReadByte()
		})
	default:
		return fmt.Errorf("no server %q", args[0])
	}
}

// datagrams answers each datagram; nil answers nothing.
func datagrams(at string, answer func([]byte) []byte) error {
	conn, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	b := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return err
		}
		if reply := answer(b[:n]); reply != nil {
			if _, err := conn.WriteTo(reply, from); err != nil {
				return err
			}
		}
	}
}

// connections serves each connection and closes it.
func connections(at string, serve func(net.Conn)) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			serve(c)
			_, _ = io.Copy(io.Discard, c) // until the client goes
		}()
	}
}

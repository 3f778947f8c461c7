package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

const (
	samples = 5 // requests per measurement; the one with the least delay counts
	wait    = 500 * time.Millisecond
)

var errUnsynchronised = errors.New("it says that it is not synchronised")

// measure asks an NTP server and compares its time with this machine's clock:
// server minus machine.
func measure(server netip.AddrPort) (time.Duration, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	best, offset := time.Duration(1<<62), time.Duration(0)
	var failure error
	for range samples {
		o, delay, err := once(c)
		if err != nil {
			failure = err
			continue
		}
		if delay < best {
			best, offset = delay, o
		}
	}
	if best == 1<<62 {
		return 0, failure
	}
	return offset, nil
}

func once(c *net.UDPConn) (offset, delay time.Duration, err error) {
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return 0, 0, err
	}
	h := proto.Header{Version: 4, Mode: proto.ModeClient, Transmit: proto.Timestamp(binary.BigEndian.Uint64(nonce[:]))}
	t1 := time.Now()
	if err := c.SetDeadline(t1.Add(wait)); err != nil {
		return 0, 0, err
	}
	if _, err := c.Write(h.Append(nil)); err != nil {
		return 0, 0, err
	}
	var b [128]byte
	n, err := c.Read(b[:])
	t4 := time.Now()
	if err != nil {
		return 0, 0, fmt.Errorf("no answer: %w", err)
	}
	r, err := proto.ParseHeader(b[:n])
	switch {
	case err != nil:
		return 0, 0, err
	case r.Mode != proto.ModeServer || r.Origin != h.Transmit:
		return 0, 0, errors.New("the answer is to another question")
	case r.Leap == proto.LeapUnsynchronised || r.Stratum == 0 || r.Stratum >= proto.MaxStratum:
		return 0, 0, errUnsynchronised
	}
	there := r.Receive.Sub(proto.FromTime(t1)).Std()
	back := r.Transmit.Sub(proto.FromTime(t4)).Std()
	delay = t4.Sub(t1) - r.Transmit.Sub(r.Receive).Std()
	return there/2 + back/2, delay, nil
}

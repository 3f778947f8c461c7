package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"time"
)

// roleClock is an NTP server that is wrong in a way one can choose: no
// honest daemon is.
const roleClock = "doctor-clock"

// serveClock answers at args[0] with a time args[1] seconds away from this
// machine's, at stratum args[2], with the root dispersion of args[3] seconds
// and the reference identifier args[4].
func serveClock(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("usage: %s ADDRESS OFFSET STRATUM DISPERSION REFID", roleClock)
	}
	offset, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	stratum, err := strconv.ParseUint(args[2], 10, 8)
	if err != nil {
		return err
	}
	dispersion, err := strconv.ParseFloat(args[3], 64)
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return err
	}
	b := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return err
		}
		if n < 48 {
			continue
		}
		now := time.Now().Add(time.Duration(offset * float64(time.Second)))
		reply := make([]byte, 48)
		reply[0], reply[1], reply[3] = 4<<3|4, byte(stratum), 0xEC
		binary.BigEndian.PutUint32(reply[8:], uint32(dispersion*65536))
		copy(reply[12:16], args[4])
		copy(reply[24:32], b[40:48])
		for _, at := range []int{16, 32, 40} {
			binary.BigEndian.PutUint32(reply[at:], uint32(now.Unix()+2208988800))
			binary.BigEndian.PutUint32(reply[at+4:], uint32(uint64(now.Nanosecond())<<32/1e9))
		}
		if _, err := conn.WriteTo(reply, from); err != nil {
			return err
		}
	}
}

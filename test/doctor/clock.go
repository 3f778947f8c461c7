package main

import (
	"encoding/binary"
	"fmt"
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
	return ntpReplies(args[0], offset, byte(stratum), dispersion, args[4], nil)
}

// ntpReplies answers NTP requests; amend may spoil each reply.
func ntpReplies(at string, offset float64, stratum byte, dispersion float64, refid string, amend func([]byte)) error {
	return datagrams(at, func(b []byte) []byte {
		if len(b) < 48 {
			return nil
		}
		now := time.Now().Add(time.Duration(offset * float64(time.Second)))
		reply := make([]byte, 48)
		reply[0], reply[1], reply[3] = 4<<3|4, stratum, 0xEC
		binary.BigEndian.PutUint32(reply[8:], uint32(dispersion*65536))
		copy(reply[12:16], refid)
		copy(reply[24:32], b[40:48])
		for _, at := range []int{16, 32, 40} {
			binary.BigEndian.PutUint32(reply[at:], uint32(now.Unix()+2208988800))
			binary.BigEndian.PutUint32(reply[at+4:], uint32(uint64(now.Nanosecond())<<32/1e9))
		}
		if amend != nil {
			amend(reply)
		}
		return reply
	})
}

package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// observation is what a daemon with ntpd-rs' observation socket tells of itself.
type observation struct {
	Program struct {
		Version string `json:"version"`
	} `json:"program"`
	System struct {
		Stratum int    `json:"stratum"`
		Leap    string `json:"leap_indicator"`
	} `json:"system"`
	Sources []struct {
		Name       string  `json:"name"`
		Address    string  `json:"address"`
		Offset     float64 `json:"offset"`
		Unanswered int     `json:"unanswered_polls"`
		Cookies    *int    `json:"nts_cookies"`
	} `json:"sources"`
	Servers []struct {
		Address string `json:"address"`
		Stats   struct {
			Received    int `json:"received_packets"`
			Accepted    int `json:"accepted_packets"`
			Denied      int `json:"denied_packets"`
			Ignored     int `json:"ignored_packets"`
			Limited     int `json:"rate_limited_packets"`
			NTSReceived int `json:"nts_received_packets"`
			NTSAccepted int `json:"nts_accepted_packets"`
		} `json:"stats"`
	} `json:"servers"`
}

// observe reads an observation socket: eight bytes of length in network order, then that much JSON.
func observe(path string) (observation, error) {
	var o observation
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return o, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return o, err
	}
	var header [8]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return o, err
	}
	length := binary.BigEndian.Uint64(header[:])
	if length > 1<<20 {
		return o, fmt.Errorf("%s: announced %d bytes, more than the limit of 1 MiB", path, length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(conn, text); err != nil {
		return o, err
	}
	return o, json.Unmarshal(text, &o)
}

// served is the server half of an observation.
func (o *observation) served() served {
	s := served{exchanges: -1}
	for _, v := range o.Servers {
		s.requests += v.Stats.Received
		s.authenticated += v.Stats.NTSAccepted
		s.refused += v.Stats.Denied + v.Stats.Ignored + v.Stats.Limited
	}
	return s
}

// achieved is the client half of an observation, of a daemon with one source.
func (o *observation) achieved() achievement {
	a := achievement{cookies: -1}
	if len(o.Sources) != 1 {
		a.text = fmt.Sprintf("socket: %d sources", len(o.Sources))
		return a
	}
	source := o.Sources[0]
	a.offset = time.Duration(source.Offset * float64(time.Second))
	if source.Unanswered < 8 {
		a.replies = 1
	}
	// A follower of a stratum 1 or 2 server takes the next stratum and drops the alarm.
	a.synchronised = o.System.Stratum < 16 && o.System.Leap == "NoWarning" && a.replies > 0
	a.text = fmt.Sprintf("socket: stratum %d, %s, offset %v", o.System.Stratum, o.System.Leap, a.offset)
	if source.Cookies != nil {
		a.cookies = *source.Cookies
		// These daemons take no unauthenticated answer of an NTS source.
		a.authenticated = a.replies > 0
		a.text += fmt.Sprintf(", %d cookies", a.cookies)
	}
	return a
}

package lab

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// Observation is what a daemon with ntpd-rs' observation socket tells of itself.
type Observation struct {
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
	Own struct {
		Sources []struct {
			Name      string `json:"name"`
			Address   string `json:"address"`
			Condition string `json:"condition"`
		} `json:"sources"`
	} `json:"ntpd_go"`
}

// Selected tells whether our own daemon follows the only source it has, by the object that only our daemon adds.
func (o *Observation) Selected() bool {
	return len(o.Own.Sources) == 1 && o.Own.Sources[0].Condition == "selected"
}

// Observe reads an observation socket.
func Observe(path string) (Observation, error) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return Observation{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return Observation{}, err
	}
	return ReadObservation(conn)
}

// ReadObservation reads what an observation socket sends: eight bytes of length in network order, then that much JSON.
func ReadObservation(r io.Reader) (Observation, error) {
	var o Observation
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return o, err
	}
	length := binary.BigEndian.Uint64(header[:])
	if length > 1<<20 {
		return o, fmt.Errorf("observation of %d bytes is longer than the limit of 1 MiB", length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return o, err
	}
	return o, json.Unmarshal(text, &o)
}

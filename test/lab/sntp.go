package lab

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"
)

// Answer is what an NTP server said to one plain request, judged by this machine's clock.
type Answer struct {
	Leap    uint8         `json:"leap"`
	Stratum uint8         `json:"stratum"`
	RefID   [4]byte       `json:"refid"`
	Root    time.Duration `json:"root"`   // the server's own bound on its error: half the root delay plus root dispersion
	Offset  time.Duration `json:"offset"` // server minus this machine
	Delay   time.Duration `json:"delay"`
}

const ntpToUnix = 2208988800 // seconds from the NTP prime epoch of 1900 to 1970

// Ask sends one NTPv4 client request and waits for the answer. It is the lab's own eye: it shares no code with the
// programs it judges.
func Ask(server string, timeout time.Duration) (Answer, error) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return Answer{}, err
	}
	request := make([]byte, 48)
	request[0] = 4<<3 | 3
	if _, err := rand.Read(request[40:]); err != nil {
		return Answer{}, err
	}
	t1 := time.Now()
	if _, err := conn.Write(request); err != nil {
		return Answer{}, err
	}
	reply := make([]byte, 1024)
	for {
		n, err := conn.Read(reply)
		t4 := time.Now()
		if err != nil {
			return Answer{}, fmt.Errorf("no answer from %s: %w", server, err)
		}
		if n < 48 || reply[0]&7 != 4 || string(reply[24:32]) != string(request[40:48]) {
			continue // not the answer to this request
		}
		t2, t3 := unixNanos(reply[32:40]), unixNanos(reply[40:48])
		a := Answer{Leap: reply[0] >> 6, Stratum: reply[1], RefID: [4]byte(reply[12:16])}
		a.Root = short(reply[4:8])/2 + short(reply[8:12])
		a.Offset = time.Duration((t2-t1.UnixNano())/2 + (t3-t4.UnixNano())/2)
		a.Delay = t4.Sub(t1) - time.Duration(t3-t2)
		return a, nil
	}
}

// short reads a duration in the 16.16 format of RFC 5905.
func short(b []byte) time.Duration {
	return time.Duration(int64(binary.BigEndian.Uint32(b)) * int64(time.Second) >> 16)
}

func unixNanos(stamp []byte) int64 {
	seconds := int64(binary.BigEndian.Uint32(stamp))
	if seconds < 1<<31 {
		seconds += 1 << 32 // the era that begins in 2036
	}
	fraction := int64(binary.BigEndian.Uint32(stamp[4:]))
	return (seconds-ntpToUnix)*int64(time.Second) + fraction*int64(time.Second)>>32
}

// roleAsk runs Ask inside a host.
const roleAsk = "lab-ask"

func ask(server string) error {
	answer, err := Ask(server, 2*time.Second)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

// Ask asks an NTP server from this host.
func (h *Host) Ask(server netip.AddrPort) (Answer, error) {
	out, err := h.self(roleAsk, server.String())
	if err != nil {
		return Answer{}, err
	}
	var answer Answer
	return answer, json.Unmarshal([]byte(out), &answer)
}

// roleFlood sends requests inside a host as fast as it can and waits for no answer.
const roleFlood = "lab-flood"

func flood(server, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	conn, err := net.Dial("udp", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := make([]byte, 48)
	request[0] = 4<<3 | 3
	for range n {
		if _, err := rand.Read(request[40:]); err != nil {
			return err
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
	}
	return nil
}

// Flood sends a number of NTP requests from this host without a pause.
func (h *Host) Flood(server netip.AddrPort, requests int) error {
	_, err := h.self(roleFlood, server.String(), strconv.Itoa(requests))
	return err
}

// roleConnect opens a TCP connection inside a host and closes it.
const roleConnect = "lab-connect"

func connect(server string) error {
	conn, err := net.DialTimeout("tcp", server, 2*time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Connect tells whether a TCP connection from this host to the address succeeds.
func (h *Host) Connect(server netip.AddrPort) error {
	_, err := h.self(roleConnect, server.String())
	return err
}

// self runs a role of this executable inside the host.
func (h *Host) self(role string, arguments ...string) (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	return h.Output(Program{Args: append([]string{path, role}, arguments...)})
}

// Traffic is what the kernel of a host has counted.
type Traffic struct {
	Opened    int // TCP connections that were attempted from here
	Accepted  int // TCP connections that others opened
	Datagrams int // UDP datagrams that reached a socket
}

// Traffic reads the kernel's counters of this host: evidence that no program can embellish.
func (h *Host) Traffic() (Traffic, error) {
	text, err := h.Output(Program{Args: []string{"cat", "/proc/self/net/snmp"}})
	if err != nil {
		return Traffic{}, err
	}
	opened, err1 := snmpCounter(text, "Tcp:", "ActiveOpens")
	accepted, err2 := snmpCounter(text, "Tcp:", "PassiveOpens")
	datagrams, err3 := snmpCounter(text, "Udp:", "InDatagrams")
	return Traffic{opened, accepted, datagrams}, errors.Join(err1, err2, err3)
}

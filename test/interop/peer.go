package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// peer is a kind of time daemon that can play both parts.
type peer interface {
	fmt.Stringer
	// serve starts an NTP server at local stratum 1 that also does key exchange, as server.test.
	serve(h *lab.Host) (server, error)
	// follow starts a client of one server.
	follow(h *lab.Host, u upstream) (client, error)
}

// upstream is what a client is told to follow.
type upstream struct {
	name string // host name, found in the name table
	nts  bool
	ca   string // file name of the authority to trust, used with nts
}

// server is a running server that can be asked what it has counted.
type server interface {
	counted() (served, error)
}

// served is what a server says it did.
type served struct {
	requests      int // NTP requests that arrived
	authenticated int // of those, requests with a valid NTS authenticator
	exchanges     int // key exchanges; -1 when the server does not count them
	refused       int // requests limited, denied or answered with a kiss
}

// since is what was counted after an earlier count.
func (s served) since(before served) served {
	s.requests -= before.requests
	s.authenticated -= before.authenticated
	s.refused -= before.refused
	if s.exchanges >= 0 {
		s.exchanges -= before.exchanges
	}
	return s
}

func (s served) String() string {
	text := fmt.Sprintf("server counts %d requests, %d authenticated, %d refused", s.requests, s.authenticated, s.refused)
	if s.exchanges >= 0 {
		text += fmt.Sprintf(", %d key exchanges", s.exchanges)
	}
	return text
}

// client is a running client that can be asked what it has achieved.
type client interface {
	achieved() (achievement, error)
}

// achievement is what a client says about its one server.
type achievement struct {
	synchronised  bool // it has chosen the server and follows it
	authenticated bool // the server's answers are authenticated by NTS
	replies       int  // valid answers; 1 stands for some where the client does not count
	cookies       int  // cookies in the jar; -1 without NTS
	offset        time.Duration
	text          string
}

// config writes a configuration file into the host's directory and returns the path that programs on the host use.
func config(h *lab.Host, name, text string) (string, error) {
	err := os.WriteFile(filepath.Join(h.Dir, name), []byte(text), 0o644)
	return lab.RunDir + "/" + name, err
}

// privateDir makes a directory that only root can enter, as chronyd wants for its command socket.
func privateDir(h *lab.Host, name string) (string, error) {
	err := os.MkdirAll(filepath.Join(h.Dir, name), 0o750)
	return lab.RunDir + "/" + name, err
}

package scene

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// DNS is what a hostile name server says about one name.
type DNS struct {
	Addrs   []netip.Addr
	Rotate  bool // each answer begins with another address
	Code    dnsmessage.RCode
	Alias   string // a CNAME instead of addresses
	Delay   time.Duration
	Silent  bool
	Garbage bool
}

// NameServer answers over UDP and, what is too long for that, over TCP.
type NameServer struct {
	mu      sync.Mutex
	zone    map[string]DNS
	queries int
}

// ServeDNS starts a name server on a host.
func (t *Trial) ServeDNS(h *lab.Host, addr string, zone map[string]DNS) *NameServer {
	s := &NameServer{}
	s.Set(zone)
	var udp *net.UDPConn
	t.Check(h.Inside(func() error {
		var err error
		udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(At(addr)))
		return err
	}))
	tcp := t.Listen(h, addr)
	t.Cleanup(func() { udp.Close() })
	go s.serveUDP(udp)
	go s.serveTCP(tcp)
	return s
}

// Set replaces all names.
func (s *NameServer) Set(zone map[string]DNS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = maps.Clone(zone)
}

// Queries is how many there were.
func (s *NameServer) Queries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries
}

// longestUDP is what fits a datagram of a name server.
const longestUDP = 1200

func (s *NameServer) serveUDP(conn *net.UDPConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		query := append([]byte{}, b[:n]...)
		go func() {
			reply := s.answer(query)
			if len(reply) > longestUDP {
				reply = reply[:len(query)]
				reply[2] |= 2 // truncated
				clear(reply[6:12])
			}
			if reply != nil {
				_, _ = conn.WriteToUDPAddrPort(reply, from) // who asked may be gone
			}
		}()
	}
}

func (s *NameServer) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for {
				var length [2]byte
				if _, err := io.ReadFull(c, length[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(c, query); err != nil {
					return
				}
				reply := s.answer(query)
				if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
					return
				}
			}
		}()
	}
}

// answer is the reply to a query; nil for none.
func (s *NameServer) answer(query []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	s.queries++
	turn := s.queries
	said, known := s.zone[strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))]
	s.mu.Unlock()
	time.Sleep(said.Delay)
	if said.Silent {
		return nil
	}
	if said.Garbage {
		return append(append([]byte{}, query[:2]...), Random(100)...)
	}
	reply := dnsmessage.Header{ID: header.ID, Response: true, RecursionAvailable: true, RCode: said.Code}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, reply)
	err = errors.Join(b.StartQuestions(), b.Question(question), b.StartAnswers())
	resource := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 60}
	if said.Alias != "" {
		name, nameErr := dnsmessage.NewName(said.Alias + ".")
		err = errors.Join(err, nameErr, b.CNAMEResource(resource, dnsmessage.CNAMEResource{CNAME: name}))
	}
	for i := range said.Addrs {
		if said.Rotate {
			i = (i + turn) % len(said.Addrs)
		}
		a := said.Addrs[i]
		if question.Type == dnsmessage.TypeA && a.Is4() {
			err = errors.Join(err, b.AResource(resource, dnsmessage.AResource{A: a.As4()}))
		}
	}
	if err != nil {
		return nil
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// roleResolve is a name server inside a host.
const roleResolve = "lab-resolve"

// zone is everything a lab's name server knows.
type zone struct {
	Listen string                  `json:"listen"`
	Names  map[string][]netip.Addr `json:"names"` // lower case, without the final dot
}

// ServeNames starts a name server on the host that answers for these names, with all addresses of the asked family, and
// denies that any other name exists.
func (h *Host) ServeNames(listen netip.Addr, names map[string][]netip.Addr) (*Process, error) {
	text, err := json.Marshal(zone{netip.AddrPortFrom(listen, 53).String(), names})
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return h.Start(Program{Args: []string{self, roleResolve, string(text)}, Log: "resolver.log"})
}

func resolve(text string) error {
	var z zone
	if err := json.Unmarshal([]byte(text), &z); err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", z.Listen)
	if err != nil {
		return err
	}
	defer conn.Close()
	query := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(query)
		if err != nil {
			return err
		}
		reply, err := z.answer(query[:n])
		if err != nil {
			fmt.Fprintln(os.Stderr, "unreadable query:", err)
			continue
		}
		if _, err := conn.WriteTo(reply, from); err != nil {
			fmt.Fprintln(os.Stderr, "answer lost:", err)
		}
	}
}

// answer replies to one query message.
func (z *zone) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := p.Question()
	if err != nil {
		return nil, err
	}
	if header.Response {
		return nil, errors.New("not a query")
	}
	addrs, known := z.Names[strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))]
	reply := dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, reply)
	err = errors.Join(b.StartQuestions(), b.Question(question), b.StartAnswers())
	resource := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 60}
	for _, addr := range addrs {
		switch {
		case question.Type == dnsmessage.TypeA && addr.Is4():
			err = errors.Join(err, b.AResource(resource, dnsmessage.AResource{A: addr.As4()}))
		case question.Type == dnsmessage.TypeAAAA && addr.Is6():
			err = errors.Join(err, b.AAAAResource(resource, dnsmessage.AAAAResource{AAAA: addr.As16()}))
		}
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

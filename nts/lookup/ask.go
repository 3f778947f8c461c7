package lookup

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	tryTime   = 2 * time.Second // for one resolver to answer
	rounds    = 2               // through all resolvers
	mostWrong = 64              // datagrams that answer something else
)

// Ask asks one resolver. The context bounds all of it.
func Ask(ctx context.Context, resolver netip.AddrPort, domain string) (Answer, error) {
	return Resolvers{Addrs: []netip.AddrPort{resolver}}.Find(ctx, domain)
}

// Find asks resolvers in turn until one answers, and no longer than the context
// lasts.
func (r Resolvers) Find(ctx context.Context, domain string) (Answer, error) {
	q, err := newQuestion(domain)
	if err != nil {
		return Answer{}, err
	}
	if len(r.Addrs) == 0 {
		return Answer{}, fmt.Errorf("look up SRV %v: %w", q.Name, ErrNobodyTrusted)
	}
	var last error
	for range rounds {
		for _, at := range r.Addrs {
			a, err := ask(ctx, at, q)
			if err == nil {
				return a, nil
			}
			if ctx.Err() != nil && last != nil {
				return Answer{}, last
			}
			last = fmt.Errorf("look up SRV %v at %v: %w", q.Name, at, err)
		}
	}
	return Answer{}, last
}

// ask asks over UDP, and over TCP for what does not fit there.
func ask(ctx context.Context, at netip.AddrPort, q dnsmessage.Question) (Answer, error) {
	a, err := askOver(ctx, "udp", at, q)
	if errors.Is(err, errTruncated) {
		return askOver(ctx, "tcp", at, q)
	}
	return a, err
}

// askOver sends the question from a port of its own, with an identifier of its
// own, and waits for the answer.
func askOver(ctx context.Context, network string, at netip.AddrPort, q dnsmessage.Question) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	var random [2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Answer{}, err
	}
	id := binary.BigEndian.Uint16(random[:])
	message, err := query(id, q)
	if err != nil {
		return Answer{}, err
	}
	var d net.Dialer
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, network, at.String())
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	exchange := overUDP
	if network == "tcp" {
		exchange = overTCP
	}
	raw, err := exchange(conn, message, func(raw []byte) bool { return answers(raw, id, q) })
	if err != nil {
		return Answer{}, err
	}
	return parse(raw, id, q)
}

// overUDP passes over datagrams that answer something else: anyone can send
// those, and the answer may be behind them.
func overUDP(conn net.Conn, message []byte, answers func([]byte) bool) ([]byte, error) {
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	buffer := make([]byte, mostAnswer)
	for range mostWrong {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		if answers(buffer[:n]) {
			return buffer[:n], nil
		}
	}
	return nil, errors.New("somebody sends answers to questions that were not asked")
}

func overTCP(conn net.Conn, message []byte, _ func([]byte) bool) ([]byte, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, raw)
	return raw, err
}

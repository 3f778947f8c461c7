package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// patient is how long a client of the storm waits: as those in use do.
	patient = 5 * time.Second

	// honestEvery is how often an honest client comes, from a network of its
	// own.
	honestEvery = 100 * time.Millisecond
)

// Networks of the loopback from which clients come.
var (
	crowdFrom  = net.TCPAddr{IP: net.IPv4(127, 9, 0, 1)}
	floodFrom  = net.TCPAddr{IP: net.IPv4(127, 10, 0, 1)}
	honestFrom = net.TCPAddr{IP: net.IPv4(127, 8, 0, 1)}
)

// tally is what became of clients.
type tally struct {
	mu            sync.Mutex
	asked, served int
	took          []time.Duration // of those that were served
}

func (t *tally) client(took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	if err == nil {
		t.served++
		t.took = append(t.took, took)
	}
}

// storm lets a crowd of one network come at once, again and again. With flood
// it is no crowd, but so many that send the first message of a handshake, read
// what comes first and go: they pay next to nothing for what they ask.
func (c *clients) storm(addr, agreement string, d time.Duration, crowd int, flood bool) (*tally, error) {
	config := c.config(agreement)
	come := func() error { return c.from(addr, config, crowdFrom) }
	if flood {
		hello, err := firstMessage(config)
		if err != nil {
			return nil, err
		}
		come = func() error { return throw(addr, hello) }
	}
	t := new(tally)
	until := time.Now().Add(d)
	var group sync.WaitGroup
	for range crowd {
		group.Go(func() {
			for time.Now().Before(until) {
				began := time.Now()
				err := come()
				t.client(time.Since(began), err)
				if err != nil {
					time.Sleep(honestEvery)
				}
			}
		})
	}
	group.Wait()
	return t, nil
}

// honest is one client at a time, whatever became of the one before.
func (c *clients) honest(addr, agreement string, d time.Duration) *tally {
	config := c.config(agreement)
	t := new(tally)
	var group sync.WaitGroup
	tick := time.NewTicker(honestEvery)
	defer tick.Stop()
	for until := time.Now().Add(d); time.Now().Before(until); {
		<-tick.C
		group.Go(func() {
			began := time.Now()
			err := c.from(addr, config, honestFrom)
			t.client(time.Since(began), err)
		})
	}
	group.Wait()
	return t
}

// from is one whole exchange from an address.
func (c *clients) from(addr string, config *tls.Config, local net.TCPAddr) error {
	d := net.Dialer{LocalAddr: &local, Timeout: patient}
	raw, err := d.Dial("tcp4", addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patient))
	return c.ask(tls.Client(raw, config))
}

// throw sends the first message of a handshake and goes when there is an answer
// of any kind.
func throw(addr string, hello []byte) error {
	d := net.Dialer{LocalAddr: &floodFrom, Timeout: patient}
	raw, err := d.Dial("tcp4", addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patient))
	if _, err := raw.Write(hello); err != nil {
		return err
	}
	_, err = io.ReadFull(raw, make([]byte, 64)) // more than an alert
	return err
}

// firstMessage is what a client sends first.
func firstMessage(config *tls.Config) ([]byte, error) {
	ours, theirs := net.Pipe()
	defer ours.Close() // which ends the handshake
	go func() { _ = tls.Client(theirs, config).Handshake() }()
	head := make([]byte, 5)
	if _, err := io.ReadFull(ours, head); err != nil {
		return nil, fmt.Errorf("first message of a handshake: %w", err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(ours, body); err != nil {
		return nil, fmt.Errorf("first message of a handshake: %w", err)
	}
	return append(head, body...), nil
}

// numbers are how many came and were served, and how long half of these waited
// and the last, in milliseconds.
func (t *tally) numbers() []any { return []any{t.asked, t.served, t.quantile(0.5), t.quantile(1)} }

// quantile of the times, in milliseconds.
func (t *tally) quantile(q float64) float64 {
	if len(t.took) == 0 {
		return 0
	}
	slices.Sort(t.took)
	return float64(t.took[int(q*float64(len(t.took)-1))].Microseconds()) / 1000
}

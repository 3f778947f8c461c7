package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// agreements are the key agreements of the clients.
var agreements = []string{"x25519", "x25519mlkem768"}

// workers is how many clients ask at once. They share the machine with whom
// they ask: more would only wait.
const workers = 4

func (b *bench) measure() error {
	if err := b.launch(); err != nil {
		return err
	}
	for _, addr := range []string{b.direct, b.pool} { // all is loaded and warm
		var n, failed int
		if err := b.gen.ask([]any{&n, &failed}, "exchange %s %s %v %d", addr, agreements[1], time.Second, workers); err != nil {
			return err
		}
		if n == 0 || failed > 0 {
			return fmt.Errorf("%d exchanges with %s, and %d failures", n, addr, failed)
		}
	}
	up, err := b.role("upstream", b.file("root.pem"), b.direct)
	if err != nil {
		return err
	}
	for _, agreement := range agreements {
		if err := b.compare(agreement, up); err != nil {
			return err
		}
	}
	if err := b.idleClients(); err != nil {
		return err
	}
	for _, verb := range []string{"storm", "flood"} {
		if err := b.crowd(verb); err != nil {
			return err
		}
	}
	return nil
}

// crowd lets one network send more clients than the pool can serve, and looks
// how one client at a time from another network fares meanwhile.
func (b *bench) crowd(verb string) error {
	number := b.crowded
	if verb == "flood" {
		number /= 10 // they never wait
	}
	others := make(chan result, 1)
	go func() { others <- b.come(b.honest, "honest", 1) }()
	many, other := b.come(b.gen, verb, number), <-others
	if err := errors.Join(many.err, other.err); err != nil {
		return err
	}
	fmt.Printf("%-15s %d at once for %v from one network: %d came and %d were answered, half of these within %.0f ms; of %d others %d were served, half of them within %.0f ms, the last after %.0f ms\n",
		verb, number, storming, many.came, many.served, many.median, other.came, other.served, other.median, other.last)
	if 20*other.served < 19*other.came {
		return fmt.Errorf("%d of %d clients were starved by a crowd of another network", other.came-other.served, other.came)
	}
	return nil
}

// storming is how long a crowd comes.
const storming = 10 * time.Second

// result is what became of clients; the times are in milliseconds.
type result struct {
	came, served int
	median, last float64
	err          error
}

// come lets clients come for a while to the pool with the usual limits.
func (b *bench) come(t *talk, verb string, number int) (r result) {
	r.err = t.ask([]any{&r.came, &r.served, &r.median, &r.last}, "%s %s %s %v %d", verb, b.usual, agreements[0], storming, number)
	return r
}

// compare lets clients ask the server and the pool in turns, and has a process
// of its own do what a pool does for a client, but for the client's connection.
func (b *bench) compare(agreement string, up *talk) error {
	var ratios, direct, pool, rates, sources, shares []float64
	for range b.rounds {
		d, _, err := b.turn(b.direct, b.directPID, agreement)
		if err != nil {
			return err
		}
		p, rate, err := b.turn(b.pool, b.poolPID, agreement)
		if err != nil {
			return err
		}
		u, err := b.upstreamTurn(up)
		if err != nil {
			return err
		}
		sources, shares = append(sources, u), append(shares, u/p)
		ratios, direct, pool, rates = append(ratios, p/d), append(direct, d), append(pool, p), append(rates, rate)
	}
	ratio := lab.Median(ratios)
	fmt.Printf("%-15s direct %4.0f us, pool %4.0f us of processor time for an exchange; ratio %.2f (%.2f to %.2f); %4.0f exchanges/s through the pool\n",
		agreement, lab.Median(direct), lab.Median(pool), ratio, slices.Min(ratios), slices.Max(ratios), lab.Median(rates))
	share := lab.Median(shares)
	fmt.Printf("%-15s %4.1f us of the pool's are for the source: %.1f%% (%.1f to %.1f)\n", "", lab.Median(sources), 100*share, 100*slices.Min(shares), 100*slices.Max(shares))
	b.cpu, b.upstream = max(b.cpu, ratio), max(b.upstream, share)
	return nil
}

// turn gives the processor time for an exchange in microseconds, and
// exchanges per second.
func (b *bench) turn(addr string, pid int, agreement string) (us, rate float64, err error) {
	before, err := lab.CPU(pid)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	var n, failed int
	if err := b.gen.ask([]any{&n, &failed}, "exchange %s %s %v %d", addr, agreement, b.slice, workers); err != nil {
		return 0, 0, err
	}
	took := time.Since(began)
	after, err := lab.CPU(pid)
	if err != nil {
		return 0, 0, err
	}
	if n == 0 || failed > 0 {
		return 0, 0, fmt.Errorf("%d exchanges with %s, and %d failures", n, addr, failed)
	}
	return float64((after - before).Microseconds()) / float64(n), float64(n) / took.Seconds(), nil
}

// upstreamTurn gives the processor time of the pool's side of an exchange with a
// source, in microseconds.
func (b *bench) upstreamTurn(t *talk) (us float64, err error) {
	before, err := lab.CPU(t.pid)
	if err != nil {
		return 0, err
	}
	var n int
	if err := t.ask([]any{&n}, "rehearse %v", b.slice); err != nil {
		return 0, err
	}
	after, err := lab.CPU(t.pid)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errors.New("no exchange with a source")
	}
	return float64((after - before).Microseconds()) / float64(n), nil
}

// idleClients connects many clients, looks what they hold, and lets each ask.
func (b *bench) idleClients() error {
	before, err := lab.Memory(b.poolPID)
	if err != nil {
		return err
	}
	began := time.Now()
	var n, failed int
	if err := b.gen.ask([]any{&n, &failed}, "connect %s %s 0s %d", b.pool, agreements[1], b.clients); err != nil {
		return err
	}
	connected := time.Since(began)
	if n != b.clients || failed > 0 {
		return fmt.Errorf("%d clients are connected, and %d are not", n, failed)
	}
	after, err := lab.Memory(b.poolPID)
	if err != nil {
		return err
	}
	b.idle = float64(after-before) / 1024 / float64(b.clients)
	if err := b.gen.ask([]any{&n, &failed}, "ask"); err != nil {
		return err
	}
	fmt.Printf("%-15s %d clients connected in %v, %d KiB resident before and %d with them; %d were answered then, %d not\n",
		"idle", b.clients, connected.Round(time.Millisecond), before>>10, after>>10, n, failed)
	if n != b.clients {
		return errors.New("not every connected client was answered")
	}
	return nil
}

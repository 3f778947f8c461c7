package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

// save writes the comparison as a page of the documentation.
func (t *table) save(path string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Benchmarks

Written by %[1]smake bench%[1]s: medians of %[2]d rounds, in which all servers were asked in turns by the same generator (more often for key exchanges),
on the same two processors: one for the server, one for the generator. Every answer was checked. What to look at is the
processor time for a request, of all threads of the server, and what it is in proportion to chrony's and to the least
that can be done in the same run; rates depend on the generator.

Ours runs with [examples/busy-server.toml](../examples/busy-server.toml) and nothing else: access lists, rate limits,
statistics and key rotation are on. The one-address rows ask the section whose limiter refuses nobody, and the row of
4,000 addresses the one that answers a client at most once in a millisecond. "Turnaround" is from the kernel's receive
timestamp to the transmit timestamp, 99.9 %% of answers; under full load that is the time in the socket's queue, so look at
the row of 20,000 requests a second.

Two workers share nothing but the limiter, which is atomic operations on words of its own; the second one of the rows that
say so has to share its processor with the generator, so that only its processor time for a request says something.

`, "`", t.rounds)
	b.WriteString("| load | server | µs each | × chrony | × floor | answers/s | latency, median | 99 % | turnaround | MiB |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	t.rows(func(s *scenario, c *contender, toChrony, toFloor float64) {
		turnaround := "–"
		if d := c.span(s.name, func(r *result) time.Duration { return r.Turnaround }); d > 0 {
			turnaround = d.Round(time.Microsecond).String()
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f | %s | %s | %.0f | %v | %v | %s | %.1f |\n", s.what, names[c.name],
			c.median(s.name, microseconds), orDash(toChrony), orDash(toFloor), c.median(s.name, perSecond),
			c.span(s.name, func(r *result) time.Duration { return r.P50 }).Round(time.Microsecond),
			c.span(s.name, func(r *result) time.Duration { return r.P99 }).Round(time.Microsecond), turnaround,
			c.median(s.name, mebibytes))
	})
	fmt.Fprintf(&b, "\nAn idle client of ours holds %.1f MiB.\n", t.client)
	b.WriteString(whereKeyExchangesGo)
	text := strings.ReplaceAll(b.String(), "   –", "–")
	return os.WriteFile(path, []byte(text), 0o644)
}

// names are those of the servers in the document.
var names = map[string]string{
	"ours": "**ntpd-go**", "ours-software": "ntpd-go, clock in user space", "ours-two": "ntpd-go, two workers on two processors", "chrony": "chrony 4.6", "ntpd-rs": "ntpd-rs 1.4", "ntpsec": "NTPsec 1.2.3",
	"floor": "the least in C", "tls": "the least in Go",
}

// whereKeyExchangesGo is what a profile of "-scenarios ke" says (perf, cpu-clock,
// the process of the key exchange); look again when a new Go changes it.
const whereKeyExchangesGo = `
## Where a key exchange goes

ntpd-rs makes a key exchange for two thirds to three quarters of our processor time. A profile of ours, with X25519 and ECDSA P-256,
says where that is:

| part | of the processor time |
|---|---|
| X25519: a new key and the shared secret | 31 % |
| ECDSA P-256: the signature | 9 % |
| key schedule of TLS 1.3 (HKDF and HMAC of SHA-256) | 7 % |
| the rest of the handshake in crypto/tls, records and messages | 19 % |
| accepting, closing and the scheduler | 19 % |
| the close_notify, and waiting for the client to close | 4 % |
| the request, the exported keys, eight cookies and the answer | 6 % |
| limits, counters, deadlines | 3 % |
| collecting garbage, and the monitor of Go's runtime | 2 % |

Two thirds are crypto/tls and its mathematics. Go's X25519 takes a ladder of multiplications for a new key too, where the
libraries behind ntpd-rs have a table for the base point and instructions for carries (ADX): OpenSSL's takes less than two
thirds of ours for each. That, with a key schedule that allocates its hashes anew for each label, is the distance. It is
Go's to mend: the least server in Go has the same. What it has besides is the monitor of Go's runtime, which wakes three
times a key exchange to look whether a system call waits: an eighth of the processor time. Ours lets it sleep, by timer
slack for its thread alone, in the key exchange's process, which has no system call that waits, and in the pool.
`

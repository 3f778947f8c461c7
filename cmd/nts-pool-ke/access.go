package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts/pool"
)

// accessQueue is how many lines may wait for the disk. More are dropped, and
// counted in the next line: a slow disk must not slow the clients.
const accessQueue = 4096

// accessLog writes a line of JSON for each client.
type accessLog struct {
	path      string
	addresses bool
	queue     chan pool.Access
	dropped   atomic.Uint64

	mu   sync.Mutex
	file *os.File
}

// accessLine is one line. It tells nothing about the client unless its operator
// wants that.
type accessLine struct {
	Time    string  `json:"time"`
	Outcome string  `json:"outcome"`
	Family  string  `json:"family,omitempty"`
	Source  string  `json:"source,omitempty"`
	MS      float64 `json:"ms"`
	Client  string  `json:"client,omitempty"`
	Dropped uint64  `json:"dropped,omitempty"` // lines before this one
}

func openAccessLog(path string, addresses bool) (*accessLog, error) {
	a := &accessLog{path: path, addresses: addresses, queue: make(chan pool.Access, accessQueue)}
	return a, a.reopen()
}

// reopen opens the file anew, for whoever rotates it.
func (a *accessLog) reopen() error {
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		a.file.Close()
	}
	a.file = f
	return nil
}

// note queues a line. It does not wait.
func (a *accessLog) note(entry pool.Access) {
	select {
	case a.queue <- entry:
	default:
		a.dropped.Add(1)
	}
}

// run writes until ctx ends, and then what is left.
func (a *accessLog) run(ctx context.Context) {
	for {
		select {
		case entry := <-a.queue:
			a.write(entry)
		case <-ctx.Done():
			for len(a.queue) > 0 {
				a.write(<-a.queue)
			}
			return
		}
	}
}

// write writes an entry and those that wait behind it.
func (a *accessLog) write(entry pool.Access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := bufio.NewWriter(a.file)
	for {
		if text, err := json.Marshal(a.line(entry)); err == nil {
			_, _ = out.Write(append(text, '\n')) // Flush says whether it went well
		}
		select {
		case entry = <-a.queue:
			continue
		default:
		}
		if out.Flush() != nil {
			a.dropped.Add(1)
		}
		return
	}
}

func (a *accessLog) line(e pool.Access) accessLine {
	l := accessLine{
		Time: e.At.UTC().Format(time.RFC3339Nano), Outcome: e.Outcome.String(), Source: e.Source,
		MS: float64(e.Took.Microseconds()) / 1000, Dropped: a.dropped.Swap(0),
	}
	if e.From.IsValid() {
		l.Family = "IPv6"
		if e.From.Is4() {
			l.Family = "IPv4"
		}
		if a.addresses {
			l.Client = e.From.String()
		}
	}
	return l
}

package apart

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Section is one key-exchange server of the process.
type Section struct {
	Settings
	// Listener is the socket, of which the Host keeps a duplicate.
	Listener *net.TCPListener
	// Certificate is the first one; Present changes it.
	Certificate tls.Certificate
}

// Config is what a Host needs.
type Config struct {
	// Program is started with Arg as its only argument and calls Main then.
	Program  string
	Sections []Section
	// Key gives the newest cookie key, as cookie.Sealer marshals it. It is
	// asked at every start and after Renewed.
	Key func() []byte
	// Outcome is told what is worth a line: faults, and everything if a section
	// is verbose. What it is told is as true as the process is.
	Outcome func(section int, o ke.Outcome)
	// Line makes what the process says fit for the log.
	Line func(string) string
	Log  *slog.Logger
}

// Pauses before the process is started again.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
	// steady is how long a process must have lived for the next pause to be
	// the first again.
	steady = time.Minute
)

// Limits of what the Host waits for.
const (
	takenWithin = 5 * time.Second // until a change is in use
	endedWithin = 5 * time.Second // until the process has finished, at the end
)

// Host keeps the process running. Its methods may be called from several
// goroutines.
type Host struct {
	cfg       Config
	null      *os.File // standard input and output: nothing can be opened later
	countFile *os.File
	counts    []Counts
	listeners []*os.File
	restarts  atomic.Uint64

	mu           sync.Mutex
	revision     uint64   // of the newest change
	keyAt        uint64   // revision of the cookie key
	certificates []served // of the sections
	taken        uint64   // revision that the process has, 0 without one
	progress     chan struct{}
	wake         chan struct{} // something is to be sent
}

// served is the certificate of a section, since a revision.
type served struct {
	tls.Certificate
	at uint64
}

// New prepares a Host; nothing runs before Run. It opens all that Run needs, so
// that privileges can be given up in between.
func New(cfg Config) (*Host, error) {
	h := &Host{cfg: cfg, revision: 1, keyAt: 1, progress: make(chan struct{}), wake: make(chan struct{}, 1)}
	// What this process was given open by others is not the other's business.
	_ = unix.CloseRange(fdControl, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) // from Linux 5.11 on
	var err error
	if h.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if h.countFile, h.counts, err = makeCounts(len(cfg.Sections)); err != nil {
		return nil, err
	}
	for i := range cfg.Sections {
		f, err := cfg.Sections[i].Listener.File()
		if err != nil {
			return nil, err
		}
		h.listeners = append(h.listeners, f)
		h.certificates = append(h.certificates, served{cfg.Sections[i].Certificate, 1})
	}
	return h, nil
}

// Counts are those of a section, which go on over restarts.
func (h *Host) Counts(section int) *Counts { return &h.counts[section] }

// Restarts is how often the process ended and was started again.
func (h *Host) Restarts() uint64 { return h.restarts.Load() }

// Present takes a certificate into use for new connections, and waits until it
// is: not longer than a process that works needs, and not at all for one that
// is still to be started.
func (h *Host) Present(section int, c tls.Certificate) error {
	h.mu.Lock()
	h.revision++
	h.certificates[section] = served{c, h.revision}
	want := h.revision
	h.mu.Unlock()
	h.poke()
	limit := time.NewTimer(takenWithin)
	defer limit.Stop()
	for {
		h.mu.Lock()
		taken, progress := h.taken, h.progress
		h.mu.Unlock()
		if taken == 0 || taken >= want {
			return nil
		}
		select {
		case <-progress:
		case <-limit.C:
			return errors.New("the process of the key exchange has not taken its new certificate yet")
		}
	}
}

// Renewed has the process use the newest cookie key. It does not wait.
func (h *Host) Renewed() {
	h.mu.Lock()
	h.revision++
	h.keyAt = h.revision
	h.mu.Unlock()
	h.poke()
}

func (h *Host) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// took notes what revision the process has, and reports whether there is such a
// one.
func (h *Host) took(revision uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision > h.revision {
		return false
	}
	h.taken = revision
	close(h.progress)
	h.progress = make(chan struct{})
	return true
}

// frames are what a process lacks that has a revision, and a mark with the
// revision that it has then. For one that has none it is everything.
func (h *Host) frames(has uint64) ([]byte, uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if has == h.revision {
		return nil, has, nil
	}
	var out []byte
	if has == 0 {
		for i := range h.cfg.Sections {
			out = appendFrame(out, frameSettings, appendSettings(nil, i, &h.cfg.Sections[i].Settings))
		}
	}
	for i := range h.certificates {
		if c := &h.certificates[i]; c.at > has {
			body, err := appendCertificate(nil, i, &c.Certificate)
			if err != nil {
				return nil, has, fmt.Errorf("certificate of section %d: %w", i, err)
			}
			out = appendFrame(out, frameCertificate, body)
			clear(body)
		}
	}
	if h.keyAt > has {
		key := h.cfg.Key()
		out = appendFrame(out, frameCookieKey, key)
		clear(key)
	}
	if has == 0 {
		out = appendFrame(out, frameBegin, nil)
	}
	return appendFrame(out, frameMark, appendNumber(nil, h.revision)), h.revision, nil
}

// Run keeps the process running until the context ends, and has it finish the
// exchanges that run then. That it does not run is no reason for anything else
// to stop: what comes meanwhile waits in the queue of the listening socket.
func (h *Host) Run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := h.serve(ctx)
		h.took(0)
		if ctx.Err() != nil {
			return
		}
		h.restarts.Add(1)
		if time.Since(began) > steady {
			pause = firstPause
		}
		h.cfg.Log.Warn("the process of the key exchange has ended; it is started again", "code", "key-exchange-ended", "error", err, "in", pause.String())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

package apart

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/daemon/privilege"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// errByHand is a process that no Host started.
var errByHand = errors.New("this is how ntp-daemon starts its key exchange; it is of no use by itself")

// Main is the process. It ends, with the exit code that it returns, when the
// daemon closes the channel or is gone.
func Main() int {
	// Whoever signals the whole service means the daemon, which ends this.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGPIPE)
	c, err := inherited()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 64 // EX_USAGE
	}
	// So that it can be told from the daemon in a list of processes. It is the
	// name of a thread, and that of the process if main has not moved.
	if name, err := unix.BytePtrFromString("ntp-daemon-ke"); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
	}
	left, err := privilege.Isolate()
	_, broken := c.Write(appendFrame(nil, frameConfined, appendConfined(nil, left, err)))
	switch {
	case broken != nil:
		err = broken
	case err != nil && !errors.Is(err, privilege.ErrThreads): // of which nothing can be given up
		err = fmt.Errorf("no key exchange without giving up privileges: %w", err)
	default:
		err = (&process{control: c, out: make(chan []byte, 64)}).run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 70 // EX_SOFTWARE
	}
	return 0
}

// inherited is the channel to the daemon.
func inherited() (net.Conn, error) {
	f := os.NewFile(fdControl, "control")
	if f == nil {
		return nil, errByHand
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, errByHand
	}
	if _, ok := c.(*net.UnixConn); !ok {
		return nil, errByHand
	}
	return c, nil
}

// process is the side that serves strangers.
type process struct {
	control  net.Conn
	out      chan []byte // frames for the daemon
	settings []Settings
	tls      []*atomic.Pointer[tls.Config] // of each section
	key      sealingKey
	begun    bool
	servers  sync.WaitGroup
	failure  atomic.Pointer[error]
}

// run does what the daemon says until it says no more, and then finishes the
// exchanges that run.
func (p *process) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer p.servers.Wait()
	defer cancel()
	go p.speak()
	for {
		kind, body, err := readFrame(p.control, maxFromHost)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = p.handle(ctx, kind, body)
		}
		clear(body)
		if failure := p.failure.Load(); failure != nil {
			return *failure
		}
		if err != nil {
			return err
		}
	}
}

// speak writes to the daemon. When it is gone nothing is read any more either.
func (p *process) speak() {
	for frame := range p.out {
		_, _ = p.control.Write(frame)
	}
}

func (p *process) handle(ctx context.Context, k kind, b []byte) error {
	switch k {
	case frameSettings:
		section, s, err := parseSettings(b)
		if err != nil {
			return err
		}
		if p.begun || section != len(p.settings) {
			return fmt.Errorf("%w: settings of section %d", errFrame, section)
		}
		p.settings, p.tls = append(p.settings, s), append(p.tls, &atomic.Pointer[tls.Config]{})
	case frameCertificate:
		section, c, err := parseCertificate(b)
		if err != nil {
			return err
		}
		if section >= len(p.tls) {
			return fmt.Errorf("%w: certificate of section %d", errFrame, section)
		}
		p.tls[section].Store(&tls.Config{Certificates: []tls.Certificate{c}})
	case frameCookieKey:
		return p.key.renew(b)
	case frameBegin:
		return p.begin(ctx)
	case frameMark:
		p.out <- appendFrame(nil, frameMarked, b)
	default:
		return fmt.Errorf("%w: type %d", errFrame, k)
	}
	return nil
}

// begin serves all sections.
func (p *process) begin(ctx context.Context) error {
	if p.begun || len(p.settings) == 0 || !p.key.known {
		return fmt.Errorf("%w: begin", errFrame)
	}
	p.begun = true
	counts, err := mapCounts(os.NewFile(fdCounts, "counts"), len(p.settings))
	if err != nil {
		return err
	}
	for i := range p.settings {
		f := os.NewFile(uintptr(fdListeners+i), "listener")
		l, err := ke.ListenerOf(f)
		if err != nil {
			return fmt.Errorf("listening socket %d: %w", i, err)
		}
		_ = f.Close()
		if p.tls[i].Load() == nil {
			return fmt.Errorf("%w: section %d has no certificate", errFrame, i)
		}
		s := ke.NewServer(p.server(i, l, &counts[i]))
		p.servers.Go(func() {
			if err := s.Serve(ctx); err != nil {
				p.failure.Store(&err)
				_ = p.control.Close() // ends run
			}
		})
	}
	return nil
}

func (p *process) server(i int, l net.Listener, counts *Counts) ke.ServerConfig {
	s := &p.settings[i]
	return ke.ServerConfig{
		Listener:              l,
		TLS:                   p.tls[i].Load,
		Seal:                  func() nts.Sealer { return p.key.seal },
		Authorise:             s.Authorise,
		Outcome:               func(o ke.Outcome) { p.outcome(i, counts, o) },
		NTPServer:             s.NTPServer,
		NTPPort:               s.NTPPort,
		Timeout:               s.Timeout,
		ConcurrentConnections: s.Connections,
		LongLivedConnections:  s.Kept,
	}
}

// outcome counts what happens, and tells the daemon what is worth a line unless
// it is busy with others.
func (p *process) outcome(section int, counts *Counts, o ke.Outcome) {
	counts[o.Kind].Add(1)
	if o.Kind != ke.AcceptFailed && o.Kind != ke.Panicked && !p.settings[section].Verbose {
		return
	}
	select {
	case p.out <- appendFrame(nil, frameEvent, appendEvent(nil, section, o)):
	default:
	}
}

// sealingKey is the newest cookie key. The one before it is overwritten.
type sealingKey struct {
	mu    sync.RWMutex
	known bool
	key   cookie.Sealer
}

func (s *sealingKey) renew(b []byte) error {
	key, err := cookie.ParseSealer(b)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key.Clear()
	s.key, s.known = key, true
	return nil
}

// seal makes one cookie.
func (s *sealingKey) seal(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
	var nonce [cookie.NonceLen]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.key.Seal(nil, cookie.Contents{Algorithm: a, C2S: c2s, S2C: s2c}, nonce[:])
}

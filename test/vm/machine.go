package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/vm/wire"
)

// The network of a machine: the guest on one end of a tap device, its host on the other, with more addresses there for
// the laboratory's servers.
var (
	guestAddr = netip.MustParseAddr("10.88.0.2")
	hostAddr  = netip.MustParseAddr("10.88.0.1")
	guestPort = netip.AddrPortFrom(guestAddr, 123)
)

const prefix = 24

// machine is a running virtual machine.
type machine struct {
	host  *lab.Host // the namespace around it
	image *image
	qemu  *lab.Process
	conn  net.Conn
	lines chan error // gets the reason when the control line ends

	mu      sync.Mutex
	next    int
	waiting map[int]chan wire.Reply
}

// bootTime is how long a machine may take under plain emulation on a busy host.
const bootTime = 60 * time.Second

// boot starts a machine in the host's namespace and waits until its guest answers.
func (img *image) boot(ctx context.Context, h *lab.Host) (*machine, error) {
	for _, args := range [][]string{
		{"tuntap", "add", "tap0", "mode", "tap"},
		{"addr", "add", netip.PrefixFrom(hostAddr, prefix).String(), "dev", "tap0"},
		{"link", "set", "tap0", "addrgenmode", "none", "up"},
	} {
		if err := h.IP(args...); err != nil {
			return nil, err
		}
	}
	kernelLine := fmt.Sprintf("console=ttyS0 quiet panic=-1 ntpd-go-guest lab.addr=%s/%d lab.gw=%s", guestAddr, prefix, hostAddr)
	socket := "control.sock"
	qemu, err := h.Start(lab.Program{
		Folder: img.folder.Path,
		Files:  map[string]string{"/mnt": filepath.Dir(img.kernel)},
		Log:    "console.log",
		Urgent: true, // the guest's clock is only as smooth as its time on the processor
		Args: []string{
			// Plain emulation: nested hardware virtualisation is missing or broken on many a build machine.
			"qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-smp", "2", "-display", "none", "-no-reboot", "-monitor", "none",
			"-kernel", "/mnt/" + filepath.Base(img.kernel), "-initrd", "/mnt/" + filepath.Base(img.initrd), "-append", kernelLine,
			"-serial", "stdio", "-serial", "unix:" + lab.RunDir + "/" + socket + ",server=on,wait=off",
			"-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-pci,netdev=n0,romfile=",
		},
	})
	if err != nil {
		return nil, err
	}
	m := &machine{host: h, image: img, qemu: qemu, lines: make(chan error, 1), waiting: map[int]chan wire.Reply{}}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	err = lab.Eventually(ctx, 100*time.Millisecond, func() error {
		if ended, err := qemu.Exited(); ended {
			return fmt.Errorf("qemu ended: %w", err)
		}
		var err error
		m.conn, err = net.Dial("unix", filepath.Join(h.Dir, socket))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, qemu.Tail(20))
	}
	go m.receive()
	err = lab.Eventually(ctx, 100*time.Millisecond, func() error {
		// What is sent before the guest has set up its line may be lost or torn.
		if !strings.Contains(qemu.Text(), "guest: ready") {
			return errors.New("the console does not say that it is ready")
		}
		_, err := m.call(ctx, wire.Request{Op: wire.Ping})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("guest did not come up: %w\n%s", err, qemu.Tail(20))
	}
	return m, nil
}

// receive hands replies to those who wait for them.
func (m *machine) receive() {
	lines := bufio.NewScanner(m.conn)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r wire.Reply
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue // noise of the boot
		}
		m.mu.Lock()
		waiter := m.waiting[r.ID]
		delete(m.waiting, r.ID)
		m.mu.Unlock()
		if waiter != nil {
			waiter <- r
		}
	}
	m.lines <- fmt.Errorf("control line of the machine ended: %w", lines.Err())
}

// call performs one operation in the guest.
func (m *machine) call(ctx context.Context, r wire.Request) (wire.Reply, error) {
	answer := make(chan wire.Reply, 1)
	m.mu.Lock()
	m.next++
	r.ID = m.next
	m.waiting[r.ID] = answer
	text, err := json.Marshal(r)
	if err == nil {
		_, err = m.conn.Write(append(text, '\n'))
	}
	m.mu.Unlock()
	if err != nil {
		return wire.Reply{}, err
	}
	select {
	case reply := <-answer:
		if reply.Error != "" {
			return reply, fmt.Errorf("guest: %s %v: %s", r.Op, r.Args, reply.Error)
		}
		return reply, nil
	case err := <-m.lines:
		m.lines <- err
		return wire.Reply{}, err
	case <-ctx.Done():
		return wire.Reply{}, fmt.Errorf("guest: %s %v: %w", r.Op, r.Args, ctx.Err())
	}
}

// setClock makes the guest's clock differ from the host's by about this much; the serial line takes milliseconds.
func (m *machine) setClock(ctx context.Context, ahead time.Duration) error {
	_, err := m.call(ctx, wire.Request{Op: wire.SetTime, Time: time.Now().Add(ahead)})
	return err
}

// clockError reads the guest's clock over the serial line, without any NTP: it is how far it is ahead of the host's, give or
// take the time that the reading took.
func (m *machine) clockError(ctx context.Context) (ahead, uncertainty time.Duration, err error) {
	before := time.Now()
	r, err := m.call(ctx, wire.Request{Op: wire.Clock})
	took := time.Since(before)
	return r.Time.Sub(before) - took/2, took / 2, err
}

// write makes a file in the guest.
func (m *machine) write(ctx context.Context, path, text string) error {
	_, err := m.call(ctx, wire.Request{Op: wire.Write, Args: []string{path, text}})
	return err
}

// observe reads an observation socket of the guest.
func (m *machine) observe(ctx context.Context, path string) (lab.Observation, error) {
	r, err := m.call(ctx, wire.Request{Op: wire.Socket, Args: []string{path}})
	if err != nil {
		return lab.Observation{}, err
	}
	return lab.ReadObservation(bytes.NewReader(r.Bytes))
}

// save keeps a text in the scenario's directory, for a person who looks into a failure.
func (m *machine) save(name, text string) error {
	return os.WriteFile(filepath.Join(m.host.Dir, name), []byte(text), 0o644)
}

// ask asks the guest's own NTP server a few times and returns the answer with the shortest delay: under emulation, and on a
// busy host, most of a long delay is on one side only.
func (m *machine) ask() (lab.Answer, error) {
	var best lab.Answer
	var last error
	for range 8 {
		a, err := m.host.Ask(guestPort)
		if err != nil {
			last = err
			continue
		}
		if best.Delay == 0 || a.Delay < best.Delay {
			best = a
		}
	}
	if best.Delay == 0 {
		return best, last
	}
	return best, nil
}

// run runs a command of the guest in /project to its end.
func (m *machine) run(ctx context.Context, args ...string) (wire.Reply, error) {
	return m.call(ctx, wire.Request{Op: wire.Run, Args: args, Dir: "/project"})
}

// start starts a command of the guest in /project in the background.
func (m *machine) start(ctx context.Context, name string, args ...string) error {
	_, err := m.call(ctx, wire.Request{Op: wire.Start, Name: name, Args: args, Dir: "/project"})
	return err
}

// log returns what a background command has printed, and whether it still runs.
func (m *machine) log(ctx context.Context, name string) (text string, running bool, err error) {
	r, err := m.call(ctx, wire.Request{Op: wire.Log, Name: name})
	return r.Output, r.Code == -1, err
}

// halt powers the machine off and waits for that.
func (m *machine) halt() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = m.call(ctx, wire.Request{Op: wire.Halt}) // never answered
	m.conn.Close()
	m.qemu.Stop()
}

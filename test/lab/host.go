package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host is a network namespace of its own with a name table and a directory that its programs see as RunDir.
type Host struct {
	Name string
	Dir  string // on the machine; RunDir inside

	hosts  string // file shown as /etc/hosts
	holder *exec.Cmd
	keep   io.Closer

	mu        sync.Mutex
	processes []*Process
}

// NewHost makes a host that is alone: it has a loopback interface and nothing else. dir is made when missing.
func NewHost(name, dir string) (*Host, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	h := &Host{Name: name, Dir: dir, hosts: filepath.Join(dir, "hosts")}
	if err := h.SetNames(nil); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), nil, 0o644); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h.holder = exec.Command(self, roleHold)
	h.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	h.holder.Stderr = os.Stderr
	stdin, err := h.holder.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := h.holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.holder.Start(); err != nil {
		return nil, fmt.Errorf("make network namespace (root is needed): %w", err)
	}
	h.keep = stdin
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
		return nil, fmt.Errorf("namespace of %s did not come up: %w", name, err)
	}
	return h, nil
}

// hold is the life of the holder: loopback up, say so, wait for the end of standard input.
func hold() error {
	runtime.LockOSThread()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring up loopback: %w", err)
	}
	if _, err := os.Stdout.Write([]byte{1}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// SetNames replaces the host's name table; localhost is always in it.
func (h *Host) SetNames(names map[string]netip.Addr) error {
	var text strings.Builder
	text.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for name, addr := range names {
		fmt.Fprintf(&text, "%s %s\n", addr, name)
	}
	return os.WriteFile(h.hosts, []byte(text.String()), 0o644)
}

// SetResolver makes the host ask this name server for what its name table lacks.
func (h *Host) SetResolver(server netip.Addr) error {
	text := fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:2\n", server)
	return os.WriteFile(filepath.Join(h.Dir, "resolv.conf"), []byte(text), 0o644)
}

// IP runs ip(8) inside the host.
func (h *Host) IP(args ...string) error {
	_, err := h.Output(Program{Args: append([]string{"ip"}, args...)})
	return err
}

// Wire joins two hosts by a cable; both ends are called wire0. Prefixes are given to the ends, as many as are named.
func Wire(a, b *Host, addrsA, addrsB []netip.Prefix) error {
	peer := fmt.Sprint(b.holder.Process.Pid)
	if err := a.IP("link", "add", "wire0", "type", "veth", "peer", "name", "wire0", "netns", peer); err != nil {
		return err
	}
	for _, end := range []struct {
		host  *Host
		addrs []netip.Prefix
	}{{a, addrsA}, {b, addrsB}} {
		for _, addr := range end.addrs {
			args := []string{"addr", "add", addr.String(), "dev", "wire0"}
			if addr.Addr().Is6() {
				args = append(args, "nodad") // duplicate address detection would delay the first bind
			}
			if err := end.host.IP(args...); err != nil {
				return err
			}
		}
		// Without link-local addresses nothing is left tentative when the daemons look for addresses to bind.
		if err := end.host.IP("link", "set", "wire0", "addrgenmode", "none", "up"); err != nil {
			return err
		}
	}
	for _, h := range []*Host{a, b} {
		if err := h.awaitLink("wire0"); err != nil {
			return err
		}
	}
	return nil
}

// awaitLink waits until the kernel has noticed the carrier: NTPsec ignores an interface that does not run yet, and sends
// nothing for a minute.
func (h *Host) awaitLink(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return Eventually(ctx, 20*time.Millisecond, func() error {
		link, err := h.Output(Program{Args: []string{"ip", "-o", "link", "show", name}})
		if err == nil && !strings.Contains(link, "state UP") {
			err = fmt.Errorf("no carrier: %s", link)
		}
		return err
	})
}

// Program describes what to run on a host.
type Program struct {
	Folder  string            // Debian folder to run in, empty for the machine's own file system
	Args    []string          // program and arguments; paths as seen inside
	Env     []string          // the whole environment; empty means a small standard one
	Work    string            // working directory, RunDir when empty
	Files   map[string]string // further files shown inside: path inside → file on the machine
	Devices []string          // further directories of the machine shown inside a folder
	Urgent  bool              // prefer it to everything else on the machine
	Log     string            // name of the log file in the host's directory; derived from Args when empty
}

func (h *Host) command(p Program) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	files := map[string]string{"/etc/hosts": h.hosts, "/etc/resolv.conf": filepath.Join(h.Dir, "resolv.conf")}
	maps.Copy(files, p.Files)
	text, err := json.Marshal(launchSpec{
		NetNS: h.holder.Process.Pid, Root: p.Folder, Dir: h.Dir, Files: files, Work: p.Work, Devices: p.Devices, Urgent: p.Urgent, Args: p.Args,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, roleLaunch, string(text))
	cmd.Env = p.Env
	if len(cmd.Env) == 0 {
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "TZ=UTC"}
	}
	// Either way the program leads a group, so that its children can be stopped with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !p.Urgent, Setsid: p.Urgent, Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// Output runs a program to its end and returns its standard output. An exit code other than 0 is an error that carries
// what the program printed.
func (h *Host) Output(p Program) (string, error) {
	cmd, err := h.command(p)
	if err != nil {
		return "", err
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := runLocked(cmd); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(p.Args, " "), err, strings.TrimSpace(stderr.String()+stdout.String()))
	}
	return stdout.String(), nil
}

// Close stops what still runs on the host and lets its namespace go.
func (h *Host) Close() {
	h.mu.Lock()
	processes := h.processes
	h.processes = nil
	h.mu.Unlock()
	for _, p := range processes {
		p.Stop()
	}
	h.keep.Close()
	_ = h.holder.Wait() // only the namespace mattered
}

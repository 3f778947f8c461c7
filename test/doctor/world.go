package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// world is a machine to diagnose and the Internet beyond its router: two
// network namespaces with a cable between them. The Internet's hosts are
// addresses of the router's own.
//
//	client 10.66.0.2, fd66::2 ── wire ── 10.66.0.1, fd66::1 internet: 10.66.10.N, fd66:10::N
type world struct {
	*suite
	ctx      context.Context
	client   *lab.Host
	internet *lab.Host
	pids     *lab.Process // keeps a process namespace, so that doctor sees nobody else's daemons
	args     []string     // further arguments of doctor
	mounts   string       // shell commands that change what doctor sees of the file system
	running  []*lab.Process
}

// servers are the names of the good servers and their addresses, IPv4 first.
var servers = []struct{ name, four, six string }{
	{"one.alpha.test", "10.66.10.1", "fd66:10::1"},
	{"two.beta.test", "10.66.10.2", "fd66:10::2"},
	{"three.gamma.test", "10.66.10.3", "fd66:10::3"},
}

// more are addresses of the Internet at which nothing runs unless a set-up
// starts it.
var more = []string{"10.66.10.7", "10.66.10.8", "10.66.10.9", "10.66.10.53"}

func (s *suite) newWorld(ctx context.Context, name string) (*world, error) {
	w := &world{suite: s, ctx: ctx}
	var err error
	if w.client, err = lab.NewHost("client", filepath.Join(s.dir, name, "client")); err != nil {
		return nil, err
	}
	if w.internet, err = lab.NewHost("internet", filepath.Join(s.dir, name, "internet")); err != nil {
		w.client.Close()
		return nil, err
	}
	if err := w.connect(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func (w *world) connect() error {
	if err := lab.Wire(w.client, w.internet, prefixes("10.66.0.2/24", "fd66::2/64"), prefixes("10.66.0.1/24", "fd66::1/64")); err != nil {
		return err
	}
	for _, s := range servers {
		if err := w.internet.IP("addr", "add", s.four+"/32", "dev", "lo"); err != nil {
			return err
		}
		if err := w.internet.IP("addr", "add", s.six+"/128", "dev", "lo", "nodad"); err != nil {
			return err
		}
	}
	for _, a := range more {
		if err := w.internet.IP("addr", "add", a+"/32", "dev", "lo"); err != nil {
			return err
		}
	}
	if err := w.client.IP("route", "add", "default", "via", "10.66.0.1"); err != nil {
		return err
	}
	if err := w.client.IP("-6", "route", "add", "default", "via", "fd66::1"); err != nil {
		return err
	}
	names := map[string]netip.Addr{}
	for _, s := range servers {
		names[s.name] = netip.MustParseAddr(s.four)
	}
	if err := w.client.SetNames(names); err != nil {
		return err
	}
	if err := write(w.client, "ca.pem", w.authority.pem()); err != nil {
		return err
	}
	var err error
	w.pids, err = w.client.Start(lab.Program{Args: []string{"unshare", "--pid", "--fork", "--kill-child", "sleep", "1000000"}, Log: "pids.log"})
	if err != nil {
		return err
	}
	return w.eventually(func() error { _, err := w.firstChild(); return err })
}

// firstChild is the first process of the client's process namespace.
func (w *world) firstChild() (string, error) {
	pid := strconv.Itoa(w.pids.Pid())
	text, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil {
		return "", err
	}
	f := strings.Fields(string(text))
	if len(f) == 0 {
		return "", fmt.Errorf("process %s has no child yet", pid)
	}
	return f[0], nil
}

func (w *world) eventually(ready func() error) error {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	return lab.Eventually(ctx, 50*time.Millisecond, ready)
}

// inside makes a program run in the client's process namespace.
func (w *world) inside(args ...string) ([]string, error) {
	child, err := w.firstChild()
	if err != nil {
		return nil, err
	}
	return append([]string{"nsenter", "--pid=/proc/" + child + "/ns/pid", "--", "sh", "-ec", `mount -t proc proc /proc; exec "$@"`, "sh"}, args...), nil
}

func (w *world) close() {
	w.client.Close()
	w.internet.Close()
}

// logs is what the processes of the world have said.
func (w *world) logs() string {
	var b strings.Builder
	for _, p := range w.running {
		fmt.Fprintf(&b, "%s:\n%s\n", p.Name, p.Tail(5))
	}
	return b.String()
}

// diagnose runs doctor on the client. Its exit code says that there is
// something to say, and is no error.
func (w *world) diagnose() (string, error) {
	args, err := w.inside(append([]string{"sh", "-ec", w.mounts + "\n" + `exec "$@"`, "sh", filepath.Join(w.bin, "ntp-ctl"), "doctor", "-c", lab.RunDir + "/ntp.toml"}, w.args...)...)
	if err != nil {
		return "", err
	}
	text, err := w.client.Output(lab.Program{Args: args, Folder: ""})
	if !strings.Contains(text, "\n") {
		return text, fmt.Errorf("doctor said nothing: %w", err)
	}
	if ok := firstTrouble(text) == ""; ok != (err == nil) {
		return text, fmt.Errorf("the exit code does not fit what doctor says: %w", err)
	}
	return text, nil
}

// write makes a file in a host's directory.
func write(h *lab.Host, name, text string) error {
	return os.WriteFile(filepath.Join(h.Dir, name), []byte(text), 0o644)
}

// filter loads rules into the router's packet filter.
func (w *world) filter(rules string) error {
	if err := write(w.internet, "rules.nft", strings.ReplaceAll(rules, " }", "\n}")+"\n"); err != nil {
		return err
	}
	_, err := w.internet.Output(lab.Program{Args: []string{"nft", "-f", lab.RunDir + "/rules.nft"}})
	return err
}

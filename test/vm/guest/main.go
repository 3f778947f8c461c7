// Command guest is the first and only system process of the laboratory's virtual machine: it mounts what a Linux program
// expects, loads the modules that it finds in /modules, brings up the network and then does what the host asks for over the
// second serial line. It refuses to be anything but process 1 of that machine.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/vm/wire"
)

// mark is on the kernel command line of the laboratory's machine and of no other.
const mark = "ntpd-go-guest"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: runs only as the first process of the laboratory's virtual machine")
		os.Exit(64)
	}
	err := os.Setenv("PATH", "/bin") // where commands are looked for
	if err == nil {
		err = mountAll()
	}
	if err == nil {
		err = confirm()
	}
	if err == nil {
		err = serve()
	}
	fmt.Println("guest:", err)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // nothing is left to do if even this fails
	select {}
}

func mountAll() error {
	mounts := []struct{ kind, at string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"},
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	return nil
}

// confirm makes sure that this is the laboratory's machine before anything touches a clock.
func confirm() error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(line)), mark) {
		return fmt.Errorf("kernel command line lacks %q", mark)
	}
	return nil
}

func serve() error {
	if err := loadModules(); err != nil {
		return err
	}
	if err := network(); err != nil {
		return err
	}
	line, err := openLine("/dev/ttyS1")
	if err != nil {
		return err
	}
	fmt.Println("guest: ready")
	g := &guest{programs: map[string]*program{}, replies: json.NewEncoder(line)}
	requests := bufio.NewScanner(line)
	requests.Buffer(nil, 1<<20)
	for requests.Scan() {
		var r wire.Request
		if err := json.Unmarshal(requests.Bytes(), &r); err != nil {
			return fmt.Errorf("request %q: %w", requests.Text(), err)
		}
		go g.handle(r) // a program that runs long must not keep others waiting
	}
	return fmt.Errorf("serial line ended: %w", requests.Err())
}

// loadModules loads /modules in the order of their numbered names.
func loadModules() error {
	files, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// network gives eth0 the address that the kernel command line names as lab.addr=ADDRESS/BITS and lab.gw=ADDRESS.
func network() error {
	settings := map[string]string{}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(string(line)) {
		if name, value, ok := strings.Cut(word, "="); ok {
			settings[name] = value
		}
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "set", "eth0", "up"},
		{"addr", "add", settings["lab.addr"], "dev", "eth0"},
		{"route", "add", "default", "via", settings["lab.gw"]},
	} {
		if out, err := exec.Command("/bin/busybox", append([]string{"ip"}, args...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// openLine opens a serial line without echo and without translation.
func openLine(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^unix.CBAUD | unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return f, unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
}

package privilege

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// child is set in the environment of a test binary that confines itself. Its
// value are the needs; it says what it can do and waits for its input to end.
const child = "PRIVILEGE_TEST_CHILD"

// binary is a program of these tests that is built as the commands are: without
// cgo.
func binary(t *testing.T) string {
	t.Helper()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno == 0 {
		return os.Args[0]
	}
	built.Do(func() {
		dir, err := os.MkdirTemp("", "privilege") //nolint:usetesting // it outlives this test
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "privilege.test"), ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		program = filepath.Join(dir, "privilege.test")
	})
	return program
}

var (
	built   sync.Once
	program string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if program != "" {
		_ = os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(code)
}

// threads makes some of the operating system's and waits for them.
func threads() {
	var there sync.WaitGroup
	for range 8 {
		there.Add(1)
		go func() {
			runtime.LockOSThread()
			there.Done()
			select {}
		}()
	}
	there.Wait()
}

// confined starts a process that confines itself to a directory that it may
// write and one that it may read, and returns its lines and its process id.
func confined(t *testing.T, needs, dir string, attr *syscall.SysProcAttr) ([]string, int) {
	t.Helper()
	cmd := exec.Command(binary(t), "-test.run=^TestConfineChild$")
	cmd.Env = append(os.Environ(), child+"="+needs, "PRIVILEGE_TEST_DIR="+dir)
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	// One listener to connect to, and one to accept from, where somebody waits.
	listen := func(network, address string) net.Listener {
		l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	there, handed := listen("tcp", "127.0.0.1:0"), listen("tcp", "127.0.0.1:0")
	listen("unix", filepath.Join(dir, "write/there"))
	file, err := handed.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	client, err := net.Dial("tcp", handed.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	cmd.ExtraFiles = []*os.File{null, file}
	cmd.Env = append(cmd.Env, "PRIVILEGE_TEST_TCP="+there.Addr().String())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("cannot start a process so: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	var lines []string
	for s := bufio.NewScanner(out); s.Scan() && s.Text() != "end"; {
		lines = append(lines, s.Text())
	}
	return lines, cmd.Process.Pid
}

// TestConfineChild is the process that confined starts.
func TestConfineChild(t *testing.T) {
	needs, dir := os.Getenv(child), os.Getenv("PRIVILEGE_TEST_DIR")
	if needs == "" {
		t.Skip("only for other tests")
	}
	threads() // that exist before
	n := Needs{
		SetTime: strings.Contains(needs, "time"), Bind: strings.Contains(needs, "bind"),
		// Not all are directories, or are there.
		Read:  []string{filepath.Join(dir, "read"), filepath.Join(dir, "missing"), filepath.Join(dir, "single"), filepath.Join(dir, "file", "below")},
		Write: []string{filepath.Join(dir, "write"), "/dev/null"},
	}
	if strings.Contains(needs, "execute") {
		n.Execute = []string{"/proc/self/exe"}
	}
	if strings.Contains(needs, "full") {
		for range 16 { // more than which the kernel does not stack
			if _, err := restrict(0, landlock.AccessNetSet(ll.AccessNetConnectTCP), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := Confine(n)
	if err == nil && strings.Contains(needs, "enclose") {
		got, err = enclose()
	}
	if err == nil && strings.Contains(needs, "isolate in a sandbox") {
		err = sandbox()
	}
	if err == nil && strings.Contains(needs, "isolate") {
		got, err = Isolate()
	}
	fmt.Printf("left %v %v\n", got.Capabilities, err)
	fmt.Printf("landlock %d\n", got.Landlock)
	fmt.Printf("filtered: %v\n", got.Filtered)
	say := func(what string, err error) {
		if e, ok := errors.AsType[syscall.Errno](err); ok {
			err = e
		}
		fmt.Printf("%s: %v\n", what, err)
	}
	read := func(name string) error { _, err := os.ReadFile(filepath.Join(dir, name)); return err }
	write := func(name string) error { return os.WriteFile(filepath.Join(dir, name), nil, 0o600) }
	say("read inside", read("read/file"))
	say("read a file", read("single"))
	say("read outside", read("file"))
	say("write inside", write("write/file"))
	say("rename inside", os.Rename(filepath.Join(dir, "write/file"), filepath.Join(dir, "write/other")))
	say("write to what may be read", write("read/file"))
	say("write outside", write("other"))
	say("system", func() error { _, err := os.ReadFile("/etc/hosts"); return err }())
	say("execute", exec.Command("/bin/true").Run())
	self := exec.Command("/proc/self/exe", "-test.run=^$")
	null := os.NewFile(3, "null")
	self.Stdin, self.Stdout, self.Stderr = null, null, null
	say("execute itself", self.Run())
	say("signal", syscall.Kill(os.Getppid(), 0))
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	fmt.Printf("dumpable: %d %v\n", dumpable, err)
	connect := func(network, address string) error {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
	say("connect", connect("tcp", os.Getenv("PRIVILEGE_TEST_TCP")))
	say("connect to a file", connect("unix", filepath.Join(dir, "write/there")))
	say("accept", accept())
	if allowed := unfiltered(); strings.Contains(needs, "isolate") {
		fmt.Printf("calls: %v\n", allowed)
	} else {
		fmt.Printf("calls: %v\n", len(allowed) > 0)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "write/socket"))
	say("unix socket", err)
	if err == nil {
		l.Close()
	}
	tcp := net.ListenConfig{}
	tcp.SetMultipathTCP(false)
	l, err = tcp.Listen(t.Context(), "tcp", "127.0.0.1:0")
	say("listen", err)
	if err == nil {
		l.Close()
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	say("udp", err)
	if err == nil {
		u.Close()
	}
	u, err = net.ListenPacket("udp", "127.0.0.1:999")
	say("udp 999", err)
	if err == nil {
		u.Close()
	}
	threads() // that come after
	fmt.Println("end")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// statuses gives a field of /proc/PID/status for every thread.
func statuses(t *testing.T, pid int, field string) []string {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d threads, %v", len(files), err)
	}
	var all []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.SplitSeq(string(data), "\n") {
			if value, ok := strings.CutPrefix(line, field+":"); ok {
				all = append(all, strings.TrimSpace(value))
			}
		}
	}
	return all
}

func grounds(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"read", "write"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"file", "single", "read/file"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// In every thread, old or new, there is what is needed and nothing else.
func TestCapabilitiesOfEveryThread(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for needs, want := range map[string]uint64{
		"nothing": 0, "time": 1 << unix.CAP_SYS_TIME, "bind": 1 << unix.CAP_NET_BIND_SERVICE,
		"time bind": 1<<unix.CAP_SYS_TIME | 1<<unix.CAP_NET_BIND_SERVICE,
	} {
		t.Run(needs, func(t *testing.T) {
			// In a user namespace of its own the process has every capability,
			// and none over this machine.
			lines, pid := confined(t, needs, grounds(t), &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
			})
			mask := strings.Repeat("0", 16-len(strconv.FormatUint(want, 16))) + strconv.FormatUint(want, 16)
			for field, value := range map[string]string{
				"CapEff": mask, "CapPrm": mask, "CapInh": strings.Repeat("0", 16), "CapBnd": strings.Repeat("0", 16),
				"CapAmb": strings.Repeat("0", 16), "NoNewPrivs": "1",
			} {
				for _, got := range statuses(t, pid, field) {
					if got != value {
						t.Errorf("%s is %s in a thread, want %s", field, got, value)
					}
				}
			}
			left := "left ["
			if strings.Contains(needs, "time") {
				left += "CAP_SYS_TIME"
			}
			if strings.Contains(needs, "bind") {
				left = strings.TrimSpace(left + " CAP_NET_BIND_SERVICE")
				left = strings.Replace(left, "[ ", "[", 1)
			}
			if lines[0] != left+"] <nil>" {
				t.Errorf("it says %q", lines[0])
			}
		})
	}
}

const denied, allowed = "permission denied", "<nil>"

// Files outside are out of reach, even for root, and nothing is executed.
func TestFilesOutsideAreOutOfReach(t *testing.T) {
	lines, _ := confined(t, "nothing", grounds(t), nil)
	wantLines(t, lines, map[string]string{
		"read inside": allowed, "write inside": allowed, "rename inside": allowed, "system": allowed, "unix socket": allowed, "udp": allowed,
		"read outside": denied, "write outside": denied, "write to what may be read": denied,
		"execute": denied, "execute itself": denied, "listen": denied, "udp 999": denied, "connect": allowed, "signal": allowed, "dumpable": "1 <nil>",
		"filtered": "false", "read a file": allowed, "connect to a file": allowed, "accept": allowed, "calls": "true",
	})
}

// A program that may start itself can start nothing else.
func TestOneProgramMayBeStarted(t *testing.T) {
	lines, _ := confined(t, "execute", grounds(t), nil)
	wantLines(t, lines, map[string]string{
		"read inside": allowed, "write inside": allowed, "rename inside": allowed, "system": allowed, "unix socket": allowed, "udp": allowed,
		"read outside": denied, "write outside": denied, "write to what may be read": denied,
		"execute": denied, "execute itself": allowed, "listen": denied, "udp 999": denied, "connect": allowed, "signal": allowed, "dumpable": "1 <nil>",
		"filtered": "false", "read a file": allowed, "connect to a file": allowed, "accept": allowed, "calls": "true",
	})
}

// Whether files can be restricted or not, capabilities are given up.
func TestCapabilitiesAreGivenUpAllTheSame(t *testing.T) {
	lines, pid := confined(t, "full", grounds(t), nil)
	if slices.ContainsFunc(lines, func(l string) bool { return slices.Contains(withoutTCP, l) }) {
		t.Skip("the kernel has no Landlock for TCP, of which the test has too much")
	}
	if !strings.HasPrefix(lines[0], "left [] landlock: ") {
		t.Errorf("it says %q", lines[0])
	}
	for field, want := range map[string]string{"CapEff": strings.Repeat("0", 16), "CapPrm": strings.Repeat("0", 16), "NoNewPrivs": "1"} {
		for _, got := range statuses(t, pid, field) {
			if got != want {
				t.Errorf("%s is %s in a thread", field, got)
			}
		}
	}
}

// withoutTCP and withoutScopes are what is said where Landlock cannot restrict
// TCP, and processes outside.
var (
	withoutTCP    = []string{"landlock 0", "landlock 1", "landlock 2", "landlock 3"}
	withoutScopes = append([]string{"landlock 4", "landlock 5"}, withoutTCP...)
)

// wantLines compares what a process says that it can do that is confined by
// Landlock.
func wantLines(t *testing.T, lines []string, want map[string]string) {
	t.Helper()
	if slices.Contains(lines, "landlock 0") {
		t.Skip("the kernel has no Landlock")
	}
	wantSaid(t, lines, want)
}

// wantSaid compares what a confined process says that it can do.
func wantSaid(t *testing.T, lines []string, want map[string]string) {
	t.Helper()
	for _, line := range lines[2:] {
		what, got, _ := strings.Cut(line, ": ")
		if got != want[what] {
			t.Errorf("%s: %s, want %s", what, got, want[what])
		}
		delete(want, what)
	}
	if len(want) > 0 {
		t.Errorf("nothing was said of %v, but %q", want, lines)
	}
}

// What a symbolic link leads to is read where it is, through all links.
func TestAround(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"live", "archive", "link"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "archive", "cert1.pem"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../archive/cert1.pem", filepath.Join(dir, "live", "cert.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "live", "cert.pem"), filepath.Join(dir, "link", "x.pem")); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "archive"), filepath.Join(dir, "link"), filepath.Join(dir, "live")}
	if got := Around(filepath.Join(dir, "link", "x.pem")); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Around(filepath.Join(dir, "missing", "x.pem")); !slices.Equal(got, []string{filepath.Join(dir, "missing")}) {
		t.Errorf("a file that is not there: %v", got)
	}
	if got := Around(""); got != nil {
		t.Errorf("no file: %v", got)
	}
}

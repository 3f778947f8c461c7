package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// The process re-executes itself in two roles. Doing the namespace work in a fresh process keeps the suite's own threads
// out of every namespace, which the Go scheduler would otherwise mix up.
const (
	roleLaunch = "lab-launch" // enter the namespaces, lose the clock, become the program
	roleHold   = "lab-hold"   // keep a network namespace alive until standard input closes
)

// RunDir is where a program in the lab finds the directory it shares with the suite.
const RunDir = "/run/lab"

// launchSpec is what the launcher is told, as JSON in its second argument.
type launchSpec struct {
	NetNS   int               `json:"netns"`             // process whose network namespace to enter
	Root    string            `json:"root,omitempty"`    // directory to chroot into, empty for the machine's own root
	Dir     string            `json:"dir"`               // directory shown as RunDir
	Files   map[string]string `json:"files,omitempty"`   // path inside the root → file that is shown there
	Work    string            `json:"work,omitempty"`    // working directory inside the root
	Devices []string          `json:"devices,omitempty"` // further directories of the machine shown inside the root
	Urgent  bool              `json:"urgent,omitempty"`  // prefer it to everything else on the machine
	Args    []string          `json:"args"`              // program and arguments
}

// Hook must be the first call of a main that uses the lab: in a re-executed process it plays its role and never returns.
func Hook() {
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case roleLaunch:
		fmt.Fprintln(os.Stderr, "lab launcher:", launch(os.Args[2]))
		os.Exit(125)
	case roleFilter:
		fmt.Fprintln(os.Stderr, "lab filter:", filter(os.Args[2], os.Args[3:]))
		os.Exit(125)
	case roleHold:
		finish(hold())
	case roleAsk:
		finish(ask(os.Args[2]))
	case roleConnect:
		finish(connect(os.Args[2]))
	case roleFlood:
		finish(flood(os.Args[2], os.Args[3]))
	case roleResolve:
		finish(resolve(os.Args[2]))
	}
}

func finish(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		os.Exit(125)
	}
	os.Exit(0)
}

// launch turns this process into the described program. It returns only on failure.
func launch(text string) error {
	runtime.LockOSThread()
	var spec launchSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	if spec.Urgent {
		if err := hurry(); err != nil {
			return err
		}
	}
	if err := enterNetwork(spec.NetNS); err != nil {
		return err
	}
	if err := privateFiles(&spec); err != nil {
		return err
	}
	if spec.Root != "" {
		if err := unix.Chroot(spec.Root); err != nil {
			return fmt.Errorf("chroot %s: %w", spec.Root, err)
		}
	}
	work := spec.Work
	if work == "" {
		work = RunDir
	}
	if err := os.Chdir(work); err != nil {
		return err
	}
	if err := loseClock(); err != nil {
		return err
	}
	program, err := lookPath(spec.Args[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", program, unix.Exec(program, spec.Args, os.Environ()))
}

// hurry gives this process priority over the rest of the machine. It was started in a session of its own, because a kernel
// that schedules by session ignores the priorities between them.
func hurry() error {
	const nice = -15
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice); err != nil {
		return fmt.Errorf("raise priority: %w", err)
	}
	err := os.WriteFile("/proc/self/autogroup", fmt.Append(nil, nice), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EIO) { // absent, or switched off
		return fmt.Errorf("raise priority of the session: %w", err)
	}
	return nil
}

func enterNetwork(pid int) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace of %d: %w", pid, err)
	}
	return nil
}

// privateFiles builds the program's own view: fresh /run and /tmp, the shared directory, replaced files.
func privateFiles(spec *launchSpec) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	root := func(path string) string { return filepath.Join("/", spec.Root, path) }
	// The shared directory may itself live below /tmp or /run, so it is held open across the covering of both.
	dir, err := os.Open(spec.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	sources := map[string]*os.File{}
	for target, source := range spec.Files {
		f, err := os.Open(source)
		if err != nil {
			return err
		}
		defer f.Close()
		sources[target] = f
	}
	if spec.Root != "" {
		for _, path := range append([]string{"/dev", "/proc"}, spec.Devices...) {
			if err := unix.Mount(path, root(path), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
				return fmt.Errorf("show %s: %w", path, err)
			}
		}
		if err := unix.Mount("tmpfs", root("/tmp"), "tmpfs", 0, "mode=1777"); err != nil {
			return fmt.Errorf("fresh /tmp: %w", err)
		}
	}
	if err := unix.Mount("tmpfs", root("/run"), "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("fresh /run: %w", err)
	}
	if err := os.Mkdir(root(RunDir), 0o755); err != nil {
		return err
	}
	if err := bind(dir, root(RunDir)); err != nil {
		return err
	}
	for target, f := range sources {
		if err := bind(f, root(target)); err != nil {
			return err
		}
	}
	return nil
}

func bind(source *os.File, target string) error {
	from := fmt.Sprintf("/proc/self/fd/%d", source.Fd())
	if err := unix.Mount(from, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show %s as %s: %w", source.Name(), target, err)
	}
	return nil
}

// loseClock removes CAP_SYS_TIME from the bounding set and from every set of this thread, then looks again. An executed
// program can only gain what the bounding or the inheritable set still holds.
func loseClock() error {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_TIME, 0, 0, 0); err != nil {
		return fmt.Errorf("drop CAP_SYS_TIME: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	const bit = uint32(1) << unix.CAP_SYS_TIME
	sets[0].Effective &^= bit
	sets[0].Permitted &^= bit
	sets[0].Inheritable &^= bit
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("write capabilities: %w", err)
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return err
	}
	return clockIsLost(string(status))
}

// clockIsLost reads the text of /proc/PID/status and fails when any capability set still holds CAP_SYS_TIME.
func clockIsLost(status string) error {
	seen := 0
	for line := range strings.Lines(status) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !strings.HasPrefix(name, "Cap") {
			continue
		}
		var set uint64
		if _, err := fmt.Sscanf(strings.TrimSpace(value), "%x", &set); err != nil {
			return fmt.Errorf("capability line %q: %w", line, err)
		}
		if set&(1<<unix.CAP_SYS_TIME) != 0 {
			return fmt.Errorf("%s still holds CAP_SYS_TIME", name)
		}
		seen++
	}
	if seen != 5 {
		return fmt.Errorf("found %d capability sets, want 5", seen)
	}
	return nil
}

// lookPath finds a program in the directories of a Debian system, whatever PATH the suite was started with.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errors.ErrUnsupported)
}

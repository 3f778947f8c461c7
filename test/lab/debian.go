package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Say tells the person at the terminal what is being done.
type Say func(format string, args ...any)

// Folder is a small Debian system in a directory: peers run out of it, nothing of it is installed on the machine.
type Folder struct {
	Suite string
	Path  string
	say   Say
}

// marks is the directory inside a folder that remembers what was installed.
const marks = "var/lib/ntpd-go-lab"

// CacheDir is where folders, kernels and other things that are worth keeping between runs live: below XDG_CACHE_HOME, or
// below /var/cache.
func CacheDir() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) {
		base = "/var/cache"
	}
	dir := filepath.Join(base, "ntpd-go-lab")
	return dir, os.MkdirAll(dir, 0o755)
}

// lockCache keeps two suites that start at once from building the same folder.
func lockCache(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// OpenFolder gives the folder of a Debian suite, building it with debootstrap from the mirror that apt is configured for
// when it does not exist yet.
func OpenFolder(suite string, say Say) (*Folder, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	release, err := lockCache(cache)
	if err != nil {
		return nil, err
	}
	defer release()
	f := &Folder{Suite: suite, Path: filepath.Join(cache, suite), say: say}
	if _, err := os.Stat(filepath.Join(f.Path, marks)); err == nil {
		return f, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := f.build(); err != nil {
		return nil, fmt.Errorf("build the folder of Debian %s: %w", suite, err)
	}
	return f, nil
}

func (f *Folder) build() error {
	if err := NeedTools(f.say, "debootstrap"); err != nil {
		return err
	}
	mirror, err := debianMirror()
	if err != nil {
		return err
	}
	f.say("building a Debian %s folder in %s with debootstrap", f.Suite, f.Path)
	partial := f.Path + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := quietly("debootstrap", "--variant=minbase", "--include=ca-certificates", f.Suite, partial, mirror); err != nil {
		return err
	}
	// Package scripts must not start services.
	if err := os.WriteFile(filepath.Join(partial, "usr/sbin/policy-rc.d"), []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	if err := copyAptProxy(partial); err != nil {
		return err
	}
	old := f.Path
	f.Path = partial
	err = f.inside("apt-get", "update", "-qq")
	f.Path = old
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(partial, marks), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(f.Path); err != nil {
		return err
	}
	return os.Rename(partial, f.Path)
}

// Install installs packages into the folder one after the other, each only once. Debian lets only one time daemon be
// installed; Overlay brings the others back.
func (f *Folder) Install(packages ...string) error {
	return f.each("installed", packages, func(name string) error {
		f.say("installing %s into the %s folder", name, f.Suite)
		return f.inside("apt-get", "install", "-qq", "-y", "--no-install-recommends", name)
	})
}

// Overlay unpacks the files of packages over the folder without telling its package database.
func (f *Folder) Overlay(packages ...string) error {
	const script = `cd /var/tmp && rm -f ./*.deb && apt-get download -qq "$1" && ` +
		`dpkg --fsys-tarfile ./*.deb | tar -x -C / --keep-directory-symlink && rm -f ./*.deb`
	return f.each("overlaid", packages, func(name string) error {
		f.say("unpacking %s over the %s folder", name, f.Suite)
		return f.inside("sh", "-ec", script, "overlay", name)
	})
}

// Unpack unpacks the files of one package into a directory of the folder, and returns its path on the machine.
func (f *Folder) Unpack(name, dir string) (string, error) {
	const script = `mkdir -p "$2" && cd "$2" && rm -f ./*.deb && apt-get download -qq "$1" && ` +
		`for p in ./*.deb; do dpkg -x "$p" .; done && rm -f ./*.deb`
	path := filepath.Join(f.Path, dir)
	return path, f.each("unpacked", []string{name}, func(name string) error {
		f.say("unpacking %s below %s", name, path)
		return f.inside("sh", "-ec", script, "unpack", name, dir)
	})
}

// Query runs a command inside the folder and returns what it prints.
func (f *Folder) Query(args ...string) (string, error) {
	cmd := f.chroot(args...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s in the %s folder: %w", strings.Join(args, " "), f.Suite, err)
	}
	return string(out), nil
}

// each does a job once per package and remembers it in the folder.
func (f *Folder) each(kind string, packages []string, job func(string) error) error {
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	release, err := lockCache(cache)
	if err != nil {
		return err
	}
	defer release()
	for _, name := range packages {
		mark := filepath.Join(f.Path, marks, kind+"-"+name)
		if _, err := os.Stat(mark); err == nil {
			continue
		}
		if err := job(name); err != nil {
			return err
		}
		if err := os.WriteFile(mark, nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) chroot(args ...string) *exec.Cmd {
	cmd := exec.Command("chroot", append([]string{f.Path}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

func (f *Folder) inside(args ...string) error { return runQuietly(f.chroot(args...)) }

// NeedTools installs the Debian packages of the same name as the missing tools (ip is in iproute2, cc in gcc) on the machine.
// None of them brings a service.
func NeedTools(say Say, tools ...string) error {
	packages := map[string][]string{"ip": {"iproute2"}, "cc": {"gcc", "libc6-dev"}}
	var missing []string
	for _, tool := range tools {
		if _, err := lookPath(tool); err == nil {
			continue
		}
		if names, ok := packages[tool]; ok {
			missing = append(missing, names...)
		} else {
			missing = append(missing, tool)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	say("installing %s on this machine with apt-get", strings.Join(missing, ", "))
	if err := quietly("apt-get", "update", "-qq"); err != nil {
		return err
	}
	return quietly("apt-get", append([]string{"install", "-qq", "-y", "--no-install-recommends"}, missing...)...)
}

// debianMirror asks apt where this machine gets its Debian packages from.
func debianMirror() (string, error) {
	if mirror := os.Getenv("NTPD_GO_DEBIAN_MIRROR"); mirror != "" {
		return mirror, nil
	}
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirror: %w", err)
	}
	mirror, ok := pickMirror(string(out))
	if !ok {
		return "", errors.New("apt is not configured for a Debian archive; name one in NTPD_GO_DEBIAN_MIRROR")
	}
	return mirror, nil
}

// pickMirror chooses among lines of "URI RELEASE" the first whose URI ends like that of a main Debian archive.
func pickMirror(targets string) (string, bool) {
	for line := range strings.Lines(targets) {
		uri, _, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && strings.HasSuffix(strings.TrimRight(uri, "/"), "/debian") {
			return uri, true
		}
	}
	return "", false
}

// copyAptProxy gives a folder the proxies that the machine's own apt goes through.
func copyAptProxy(root string) error {
	out, err := exec.Command("apt-config", "dump").Output()
	if err != nil {
		return fmt.Errorf("read apt's configuration: %w", err)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Acquire::") && strings.Contains(line, "::Proxy ") {
			lines.WriteString(line)
		}
	}
	if lines.Len() == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(root, "etc/apt/apt.conf.d/90proxy"), []byte(lines.String()), 0o644)
}

// quietly runs a command of the machine; its output is shown only when it fails.
func quietly(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return runQuietly(cmd)
}

func runQuietly(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return nil
}

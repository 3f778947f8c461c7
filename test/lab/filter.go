package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/internal/seccomp"
)

// roleFilter takes away the system calls that a unit's sandbox takes away, and becomes the program.
const roleFilter = "lab-filter"

// Filtered is the wrapper that starts a program behind the system call filter of a systemd unit, which needs no systemd
// to run: systemd-analyze tells what the unit's groups of calls are, and the headers of libc which numbers they have.
func Filtered(dir, unit string) (wrapper []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	names, err := callsOf(unit)
	if err != nil {
		return nil, err
	}
	numbers, err := callNumbers()
	if err != nil {
		return nil, err
	}
	var list []string
	for name := range names {
		if n, ok := numbers[name]; ok { // others are of other architectures
			list = append(list, strconv.Itoa(n))
		}
	}
	file := filepath.Join(dir, filepath.Base(unit)+".calls")
	return []string{self, roleFilter, file}, os.WriteFile(file, []byte(strings.Join(list, "\n")), 0o644)
}

// callsOf are the names that the lines SystemCallFilter= of a unit leave.
func callsOf(unit string) (map[string]bool, error) {
	text, err := os.ReadFile(unit)
	if err != nil {
		return nil, err
	}
	allowed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !ok {
			continue
		}
		value, forbid := strings.CutPrefix(value, "~")
		for word := range strings.FieldsSeq(value) {
			names, err := groupOfCalls(word)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				allowed[name] = !forbid
			}
		}
	}
	if len(allowed) == 0 {
		return nil, fmt.Errorf("%s has no SystemCallFilter=", unit)
	}
	for name, yes := range allowed {
		if !yes {
			delete(allowed, name)
		}
	}
	return allowed, nil
}

// groupOfCalls are the calls of a group such as @clock, with those of groups in it.
func groupOfCalls(word string) ([]string, error) {
	if !strings.HasPrefix(word, "@") {
		return []string{word}, nil
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", word).Output()
	if err != nil {
		return nil, fmt.Errorf("systemd-analyze syscall-filter %s: %w", word, err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line == "" || line == word || strings.HasPrefix(line, "#") {
			continue
		}
		more, err := groupOfCalls(line)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

var defined = regexp.MustCompile(`(?m)^#define __NR_(\w+)\s+(\d+)$`)

// callNumbers are the numbers of system calls on this architecture.
func callNumbers() (map[string]int, error) {
	if runtime.GOARCH != "amd64" {
		return nil, errors.New("the numbers of system calls are known for amd64 only")
	}
	const header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
	text, err := os.ReadFile(header)
	if err != nil {
		return nil, fmt.Errorf("%w (Debian's linux-libc-dev has it)", err)
	}
	numbers := map[string]int{"fchmodat2": unix.SYS_FCHMODAT2} // younger than some headers
	for _, m := range defined.FindAllStringSubmatch(string(text), -1) {
		if numbers[m[1]], err = strconv.Atoi(m[2]); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// filter installs the filter that answers EPERM to every call that a file does not name, and becomes the program. It
// returns only on failure.
func filter(file string, args []string) error {
	runtime.LockOSThread()
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var rules []seccomp.Rule
	for word := range strings.FieldsSeq(string(text)) {
		n, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return err
		}
		rules = append(rules, seccomp.Rule{Call: uintptr(n)})
	}
	program, err := seccomp.Program(rules, unix.EPERM)
	if err != nil {
		return err
	}
	path, err := lookPath(args[0])
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := seccomp.ThisThread(program); err != nil {
		return fmt.Errorf("system call filter: %w", err)
	}
	return fmt.Errorf("exec %s: %w", path, unix.Exec(path, args, os.Environ()))
}

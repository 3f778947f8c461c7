package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sum adds up a figure of a program and of those that it started: what strangers
// cause, they cause in the process of the key exchange.
func sum[T int | int64 | time.Duration](pid int, figure func(pid int) (T, error)) (all T, err error) {
	for _, p := range Family(pid) {
		one, err := figure(p)
		if err != nil {
			return 0, err
		}
		all += one
	}
	return all, nil
}

// Usage is what a program and those that it started hold.
type Usage struct {
	Memory               int64 // resident, in octets
	Descriptors, Threads int
}

// UsageOf looks at all of it.
func UsageOf(pid int) (u Usage, err error) {
	var errs [3]error
	u.Memory, errs[0] = Memory(pid)
	u.Descriptors, errs[1] = Descriptors(pid)
	u.Threads, errs[2] = Threads(pid)
	return u, errors.Join(errs[:]...)
}

// Memory is the resident memory of a program and of those that it started, in
// octets. What they share counts for each.
func Memory(pid int) (int64, error) {
	return sum(pid, func(pid int) (int64, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
				return n << 10, err
			}
		}
		return 0, fmt.Errorf("no VmRSS of %d", pid)
	})
}

// Descriptors is the number of files that a program and those that it started
// have open.
func Descriptors(pid int) (int, error) { return entries(pid, "fd") }

// Threads is the number of their threads.
func Threads(pid int) (int, error) { return entries(pid, "task") }

func entries(pid int, what string) (int, error) {
	return sum(pid, func(pid int) (int, error) {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, what))
		return len(list), err
	})
}

// CPU is what all threads of a program and of those that it started have spent
// on a processor. Threads that ended are not in it.
func CPU(pid int) (time.Duration, error) {
	return sum(pid, func(pid int) (all time.Duration, err error) {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if len(files) == 0 {
			return 0, fmt.Errorf("there is no process %d", pid)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // ended meanwhile
			}
			ran, _, _ := strings.Cut(string(text), " ")
			ns, err := strconv.ParseInt(ran, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			all += time.Duration(ns)
		}
		return all, nil
	})
}

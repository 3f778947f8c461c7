package scene

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// sum adds up a figure of a program and of those that it started: what strangers
// cause, they cause in the process of the key exchange.
func sum[T int | int64 | time.Duration](pid int, figure func(pid int) (T, error)) (all T, err error) {
	for _, p := range lab.Family(pid) {
		one, err := figure(p)
		if err != nil {
			return 0, err
		}
		all += one
	}
	return all, nil
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

// CPU is the processor time that a program and those that it started have used.
func CPU(pid int) (time.Duration, error) {
	return sum(pid, func(pid int) (time.Duration, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 13 {
			return 0, fmt.Errorf("unreadable stat of %d", pid)
		}
		user, err1 := strconv.ParseInt(fields[11], 10, 64)
		system, err2 := strconv.ParseInt(fields[12], 10, 64)
		if err1 != nil || err2 != nil {
			return 0, fmt.Errorf("unreadable times of %d", pid)
		}
		return time.Duration(user+system) * 10 * time.Millisecond, nil // USER_HZ is 100 everywhere
	})
}

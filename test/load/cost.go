package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// processorTime is what all threads of a process and of those it started have
// spent on a processor. Threads that ended are not in it.
func processorTime(pid int) (sum time.Duration, err error) {
	for _, p := range lab.Family(pid) {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p))
		if len(files) == 0 {
			return 0, fmt.Errorf("there is no process %d", p)
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
			sum += time.Duration(ns)
		}
	}
	return sum, nil
}

// resident is the memory that the processes hold, in KiB; what they share counts
// for each.
func resident(pid int) (kib int) {
	for _, p := range lab.Family(pid) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, _ := strconv.Atoi(strings.Fields(value)[0])
				kib += n
			}
		}
	}
	return kib
}

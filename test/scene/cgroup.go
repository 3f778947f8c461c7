package scene

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cap is what a program may use: a control group of the kernel, version 1 or 2, that the suite makes and removes.
type Cap struct {
	CPU    float64 // part of one processor, over periods of a tenth of a second as `CPUQuota=` of systemd has them
	Memory int64   // octets of memory that are its own
	Name   string  // tells the groups of a row apart
}

// Capped makes control groups and returns the wrapper that puts a program into them. Where control groups cannot be
// made, the row is skipped and says why.
func (t *Trial) Capped(c Cap) (wrapper []string) {
	var join strings.Builder
	if c.CPU > 0 {
		const period = 100_000 // µs
		quota := fmt.Sprint(int(c.CPU * period))
		dir := t.group("cpu", c.Name, map[string]string{"cpu.cfs_period_us": fmt.Sprint(period), "cpu.cfs_quota_us": quota},
			map[string]string{"cpu.max": quota + " " + fmt.Sprint(period)})
		fmt.Fprintf(&join, "echo $$ > %s/cgroup.procs && ", dir)
	}
	if c.Memory > 0 {
		most := fmt.Sprint(c.Memory)
		dir := t.group("memory", c.Name, map[string]string{"memory.limit_in_bytes": most}, map[string]string{"memory.max": most})
		fmt.Fprintf(&join, "echo $$ > %s/cgroup.procs && ", dir)
	}
	return []string{"sh", "-c", join.String() + `exec "$@"`, "sh"}
}

// group makes a control group with the values for the version that is here.
func (t *Trial) group(controller, name string, first, second map[string]string) string {
	root, values, err := controllers(controller, first, second)
	if err != nil {
		t.Skip("no control group for %s: %v", controller, err)
	}
	dir := filepath.Join(root, "ntpd-go-"+filepath.Base(t.Dir)+"-"+filepath.Base(t.dir)+"-"+controller+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("no control group for %s: %v", controller, err)
	}
	// The hosts' programs are ended before, and the kernel takes a moment to bury them.
	t.cleanup = slices.Insert(t.cleanup, 0, func() {
		for range 50 {
			if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	for name, value := range values {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			t.Skip("no limit for %s: %v", controller, err)
		}
	}
	return dir
}

// controllers finds where groups of a controller are made, and which values they understand.
func controllers(controller string, first, second map[string]string) (root string, values map[string]string, err error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		switch {
		case fields[2] == "cgroup" && slices.Contains(strings.Split(fields[3], ","), controller):
			return fields[1], first, nil
		case fields[2] == "cgroup2":
			has, err := os.ReadFile(filepath.Join(fields[1], "cgroup.controllers"))
			if err != nil || !slices.Contains(strings.Fields(string(has)), controller) {
				continue
			}
			err = os.WriteFile(filepath.Join(fields[1], "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			return fields[1], second, err
		}
	}
	return "", nil, errors.New("the kernel has none")
}

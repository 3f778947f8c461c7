package daemon

import (
	"os"
	"strings"
)

// bootID names the boot of the machine: after the next one the clock is what
// the hardware says, and a first correction may be large again.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown" // one long boot
	}
	return strings.TrimSpace(string(id))
}

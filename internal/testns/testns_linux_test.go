package testns

import (
	"net"
	"os"
	"testing"
)

// TestInside: only the loopback device is there, and it is down.
func TestInside(t *testing.T) {
	if !Inside(t, Network, 1000) {
		return
	}
	if os.Getuid() != 1000 {
		t.Errorf("user %d", os.Getuid())
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 {
			t.Errorf("%s is up", i.Name)
		}
	}
}

// TestSkippedInside is skipped outside too.
func TestSkippedInside(t *testing.T) {
	if Inside(t, Mounts, 0) {
		t.Skip("nothing to see")
	}
	t.Error("it was not skipped inside")
}

package cli

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sd_notify(3): a datagram to the socket that the service manager names.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := Notify(path, "READY=1"); err != nil {
		t.Fatal(err)
	}
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 100)
	if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if err := Notify("", "READY=1"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	if err := Notify(path+"x", "READY=1"); err == nil || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("got %v", err)
	}
}

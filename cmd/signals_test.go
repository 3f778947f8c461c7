package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// quiet is a daemon that serves, with a log in a file.
func quiet(t *testing.T) string {
	t.Helper()
	return folder(t, map[string]string{
		"d.toml": fmt.Sprintf("[observability]\nobservation-path = \"observe\"\n[[server]]\nlisten = \"127.0.0.1:%s\"\n", port(t, "udp")),
	})
}

// Every signal that ends a daemon lets it leave the clock at its base
// frequency, which a death on the spot does not.
func TestSignalsEndInOrder(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		t.Run(s.String(), func(t *testing.T) {
			p := start(t, quiet(t), "ntp-daemon", "--no-clock", "-c", "d.toml")
			p.await("serving NTP")
			p.signal(s)
			<-p.done
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("ended with %v:\n%v", err, p.lines())
			}
		})
	}
}

// A daemon whose output nobody reads any more goes on.
func TestTheReaderOfTheLogMayGoAway(t *testing.T) {
	dir := quiet(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(binaries, "ntp-daemon"), "--no-clock", "-l", "debug", "-c", "d.toml")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, w, w
	r.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	awaitAnswer(t, dir, ended)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// awaitAnswer waits until the daemon of a folder answers on its socket.
func awaitAnswer(t *testing.T, dir string, ended <-chan error) {
	t.Helper()
	for {
		out, err := ctl(t, dir, "status", "-c", "d.toml")
		if err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the daemon ended with %v; it was asked in vain: %s", err, out)
		default:
		}
	}
}

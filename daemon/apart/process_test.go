package apart

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/privilege"
)

// A process can make the daemon write one line of its own, and no more but of
// outcomes, which are bounded elsewhere.
func TestWhatAProcessSaysTwiceIsNonsense(t *testing.T) {
	confined := appendFrame(nil, frameConfined, appendConfined(nil, privilege.Result{}, errors.New("failed\nlevel=INFO\x1b[31m")))
	for name, says := range map[string][]byte{
		"confined": bytes.Repeat(confined, 3),
		"a mark":   append(bytes.Clone(confined), bytes.Repeat(appendFrame(nil, frameMarked, appendNumber(nil, 1)), 3)...),
		"a future": append(bytes.Clone(confined), appendFrame(nil, frameMarked, appendNumber(nil, 2))...),
	} {
		w := newWorld(t)
		ours, theirs, err := socketPair()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.Write(says); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		if err := w.listen(ours, 1); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
		ours.Close()
		if text := w.logged(); strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") || !strings.Contains(text, "FAILED") { // as Line does
			t.Errorf("%s: the log has %q", name, text)
		}
	}
}

// With privileges that could not be given up a process reads no secret: it says
// so and ends, whatever it is told.
func TestPrivilegesComeBeforeSecrets(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno != 0 {
		t.Skip("built with cgo, with which nothing can be given up; CGO_ENABLED=0")
	}
	for how, want := range map[string][]kind{"": {frameConfined, frameMarked}, "sandbox": {frameConfined}} {
		t.Setenv(fake, how)
		w := newWorld(t)
		ours, theirs, err := socketPair()
		if err != nil {
			t.Fatal(err)
		}
		cmd := w.command(t.Context(), theirs, &head{})
		if _, err := ours.Write(appendFrame(nil, frameMark, appendNumber(nil, 1))); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(cmd.Start(), theirs.Close()); err != nil {
			t.Fatal(err)
		}
		for _, k := range want {
			if got, _, err := readFrame(ours, maxFromChild); got != k || err != nil {
				t.Errorf("%q: it says %d, not %d, %v", how, got, k, err)
			}
		}
		_ = ours.CloseWrite() // which ends one that listens
		if got, _, err := readFrame(ours, maxFromChild); err == nil {
			t.Errorf("%q: it says %d after that", how, got)
		} else if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: %v", how, err)
		}
		_ = cmd.Wait()
		if failed := cmd.ProcessState.ExitCode() == 70; failed != (how == "sandbox") {
			t.Errorf("%q: %v", how, cmd.ProcessState)
		}
		ours.Close()
	}
}

package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Hook()
	os.Exit(m.Run())
}

const fiveSets = "CapInh:\t%\nCapPrm:\t000001fffdffffff\nCapEff:\t000001fffdffffff\nCapBnd:\t000001fffdffffff\nCapAmb:\t0000000000000000\n"

func TestClockIsLostReadsEveryCapabilitySet(t *testing.T) {
	for _, test := range []struct {
		name, status string
		good         bool
	}{
		{"none holds it", strings.Replace(fiveSets, "%", "0000000000000000", 1), true},
		{"inheritable holds it", strings.Replace(fiveSets, "%", "0000000002000000", 1), false},
		{"bounding holds it", strings.Replace(strings.Replace(fiveSets, "%", "0", 1), "CapBnd:\t000001fffd", "CapBnd:\t000001ffff", 1), false},
		{"a set is missing", "CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\n", false},
		{"unreadable", strings.Replace(fiveSets, "%", "many", 1), false},
		{"nothing at all", "", false},
	} {
		if err := clockIsLost(test.status); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestPickMirrorTakesTheMainArchive(t *testing.T) {
	got, ok := pickMirror("https://one.example/apt cloud\nhttp://two.example/debian-security/ x-security\nhttp://three.example/debian/ x\n")
	if !ok || got != "http://three.example/debian/" {
		t.Errorf("got %q, %v", got, ok)
	}
	if got, ok := pickMirror("http://two.example/ubuntu/ noble\n"); ok {
		t.Errorf("took %q", got)
	}
}

func TestEventuallyGivesTheLastError(t *testing.T) {
	asked := 0
	err := Eventually(t.Context(), time.Microsecond, func() error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || asked != 3 {
		t.Errorf("%d questions, %v", asked, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	last := errors.New("still not")
	if err := Eventually(ended, time.Hour, func() error { return last }); !errors.Is(err, last) {
		t.Errorf("got %v", err)
	}
}

func newTestHost(t *testing.T, name string) *Host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := lookPath("ip"); err != nil {
		t.Skip("needs iproute2")
	}
	h, err := NewHost(name, filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Skip("no namespaces here: ", err)
	}
	t.Cleanup(h.Close)
	return h
}

func TestHostsTalkOverAWireAndCannotSetTheClock(t *testing.T) {
	a, b := newTestHost(t, "a"), newTestHost(t, "b")
	pa, pb := netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("10.77.0.2/24")
	if err := Wire(a, b, []netip.Prefix{pa}, []netip.Prefix{pb}); err != nil {
		t.Fatal(err)
	}
	if err := b.SetNames(map[string]netip.Addr{"a.test": pa.Addr()}); err != nil {
		t.Fatal(err)
	}
	names, err := b.Output(Program{Args: []string{"cat", "/etc/hosts"}})
	if err != nil || !strings.Contains(names, "10.77.0.1 a.test") {
		t.Errorf("names %q, %v", names, err)
	}
	links, err := b.Output(Program{Args: []string{"ip", "-o", "addr"}})
	if err != nil || !strings.Contains(links, "10.77.0.2/24") || strings.Contains(links, "10.77.0.1/24") {
		t.Errorf("links %q, %v", links, err)
	}
	status, err := a.Output(Program{Args: []string{"cat", "/proc/self/status"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := clockIsLost(status); err != nil {
		t.Error(err)
	}
}

func TestStopEndsAProgramAndItsChildren(t *testing.T) {
	h := newTestHost(t, "a")
	p, err := h.Start(Program{Args: []string{"sh", "-c", "trap '' TERM; sleep 1000 & echo $! >child; wait; wait"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = Eventually(ctx, time.Millisecond, func() error {
		text, err := os.ReadFile(filepath.Join(h.Dir, "child"))
		if err == nil && len(text) == 0 {
			err = errors.New("empty")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if ended, _ := p.Exited(); !ended {
		t.Error("still running")
	}
}

func TestOutputCarriesWhatAFailedProgramPrinted(t *testing.T) {
	h := newTestHost(t, "a")
	_, err := h.Output(Program{Args: []string{"sh", "-c", "echo the reason >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("got %v", err)
	}
}

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

func TestSNMPCounter(t *testing.T) {
	text := "Tcp: RtoMin ActiveOpens PassiveOpens\nTcp: 200 3 7\nUdp: InDatagrams NoPorts\nUdp: 41 2\n"
	for name, want := range map[string]int{"ActiveOpens": 3, "PassiveOpens": 7} {
		if got, err := snmpCounter(text, "Tcp:", name); err != nil || got != want {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	if _, err := snmpCounter(text, "Udp:", "PassiveOpens"); err == nil {
		t.Error("a counter is found in the wrong table")
	}
}

func TestUnixNanos(t *testing.T) {
	for _, test := range []struct {
		stamp [8]byte
		want  time.Time
	}{
		{[8]byte{0x83, 0xaa, 0x7e, 0x80}, time.Unix(0, 0)},
		{[8]byte{0x83, 0xaa, 0x7e, 0x80, 0x80}, time.Unix(0, 5e8)},
		{[8]byte{}, time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC)},
		{[8]byte{0, 0, 0, 1}, time.Date(2036, 2, 7, 6, 28, 17, 0, time.UTC)},
	} {
		if got := unixNanos(test.stamp[:]); got != test.want.UnixNano() {
			t.Errorf("%x is %v, want %v", test.stamp, time.Unix(0, got).UTC(), test.want)
		}
	}
}

func TestFinalErrorEndsTheWait(t *testing.T) {
	asked := 0
	over := errors.New("over")
	err := Eventually(t.Context(), time.Hour, func() error { asked++; return Final{over} })
	if asked != 1 || !errors.Is(err, over) {
		t.Errorf("%d questions, %v", asked, err)
	}
}

func TestReadObservationRefusesTooMuch(t *testing.T) {
	if _, err := ReadObservation(strings.NewReader("\x00\x00\x00\x00\x00\x10\x00\x01")); err == nil || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("got %v", err)
	}
	o, err := ReadObservation(strings.NewReader("\x00\x00\x00\x00\x00\x00\x00\x18{\"system\":{\"stratum\":3}}"))
	if err != nil || o.System.Stratum != 3 {
		t.Errorf("stratum %d, %v", o.System.Stratum, err)
	}
	if _, err := ReadObservation(strings.NewReader("\x00\x00")); err == nil {
		t.Error("half a header passes")
	}
}

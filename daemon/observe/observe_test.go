package observe

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/golden"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a state with one live NTS source, one configured source without a
// server, and one NTP server.
func sample() State {
	st := engine.Status{
		Synchronised: true, Selected: 1, Agreeing: 1, Steps: 1,
		Offset: proto.FromSeconds(12e-6), Sigma: proto.FromSeconds(3e-6), Frequency: -4.25e-6,
		AccumulatedSteps: proto.FromSeconds(0.25),
		Snapshot: engine.Snapshot{
			Mono: 1e9, Stratum: 2, RefID: 0x7f000001, RootDelay: proto.FromSeconds(0.00574),
			RootDispersion: proto.FromSeconds(0.0001), DispersionRate: 4e-6,
		},
		Sources: []engine.SourceStatus{
			{
				Index: 0, ID: 7, Name: "ntp.test:4460", Mode: engine.ModeNTS, Addr: netip.MustParseAddrPort("192.0.2.1:123"),
				Condition: engine.Selected, NTS: true, Cookies: 8, Reach: 0xff, Poll: 4, Stratum: 1, RefID: proto.RefIDText("GPS"),
				Offset: proto.FromSeconds(0.014375), Sigma: proto.FromSeconds(0.005806), Delay: proto.FromSeconds(0.034586),
				RootDelay: proto.FromSeconds(0.002533), RootDisp: proto.FromSeconds(0.001221), Samples: 9,
			},
			{
				Index: 1, Name: "dead.test:123", Mode: engine.ModeServer, Condition: engine.Waiting, Reason: "dns",
				Text: "the name does not resolve", RetryIn: 90 * time.Second,
			},
		},
	}
	var s State
	now := proto.Now{Mono: 2e9, Wall: proto.FromUnix(1700000000, 0)}
	s.System, s.Sources, s.Own = FromStatus(&st, now, proto.FromSeconds(1800), 3.8e-6)
	s.Program = Program{Version: "0.1.0", BuildCommit: "abc", BuildCommitDate: "2026-01-02", UptimeSeconds: 12.5, Now: Timestamp{uint64(now.Wall)}}
	s.Servers = []Server{{Address: "[::]:123", Stats: Stats{ReceivedPackets: 5, AcceptedPackets: 3, DeniedPackets: 1, IgnoredPackets: 1}}}
	clients := uint64(4)
	s.Own.Drops, s.Own.Clients = []uint64{7}, &clients
	return s
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	golden.Compare(t, *update, filepath.Join("testdata", name), got)
}

func TestPlainGolden(t *testing.T) {
	s := sample()
	var b bytes.Buffer
	if err := WritePlain(&b, &s); err != nil {
		t.Fatal(err)
	}
	compare(t, "plain.txt", b.Bytes())
}

func TestPrometheusGolden(t *testing.T) {
	s := sample()
	var b bytes.Buffer
	if err := WritePrometheus(&b, &s); err != nil {
		t.Fatal(err)
	}
	compare(t, "prometheus.txt", b.Bytes())
}

func TestJSONGolden(t *testing.T) {
	b, err := json.MarshalIndent(sample(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "state.json", append(b, '\n'))
}

func TestPrometheusEscapesLabels(t *testing.T) {
	if got, want := labels("name", "a\"b\\c\nd"), `{name="a\"b\\c\nd"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The polynomial of variances and the single value of older releases say the
// same.
func TestDispersionAgreesInBothForms(t *testing.T) {
	s := sample()
	got := s.System.Dispersion(s.Program.Now)
	if want := 0.0001 + 1*4e-6; got < want-1e-9 || got > want+1e-9 {
		t.Errorf("dispersion %v, want %v", got, want)
	}
	old := System{RootDispersion: &got}
	if d := old.Dispersion(Timestamp{}); d != got {
		t.Errorf("older daemon: %v, want %v", d, got)
	}
	later := Timestamp{s.Program.Now.Timestamp + 10<<32}
	if d := s.System.Dispersion(later); d < got+39e-6 || d > got+41e-6 {
		t.Errorf("after 10 s: %v, want 40 µs more than %v", d, got)
	}
}

func serve(t *testing.T, path string) {
	t.Helper()
	l, err := Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, sample) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestServedStateReadsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "observe") // the directory is made
	serve(t, path)
	got, err := Read(path, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(sample())
	if b, _ := json.Marshal(got); !bytes.Equal(b, want) {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
}

func TestAnAnsweringSocketIsNotTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "observe")
	serve(t, path)
	if _, err := Listen(path, 0o666); !errors.Is(err, ErrInUse) {
		t.Fatalf("got %v, want ErrInUse", err)
	}
	if _, err := Read(path, 5*time.Second); err != nil {
		t.Errorf("the first daemon's socket no longer answers: %v", err)
	}
}

func TestASocketThatNobodyAnswersIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "observe")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	serve(t, path)
	if _, err := Read(path, 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Listen(path, 0o666)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "data" {
		t.Errorf("the file now holds %q", b)
	}
}

func TestReadErrorsNameThePathAndTheRemedy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "observe")
	_, err := Read(path, time.Second)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "is ntp-daemon running") {
		t.Errorf("got %v", err)
	}
}

func TestReadBoundsTheAnswer(t *testing.T) {
	var s State
	head := binary.BigEndian.AppendUint64(nil, maxDocument+1)
	for name, in := range map[string][]byte{
		"too large": head,
		"cut short": binary.BigEndian.AppendUint64(nil, 10),
		"no JSON":   append(binary.BigEndian.AppendUint64(nil, 2), "[]"...),
		"empty":     nil,
	} {
		if err := decode(bytes.NewReader(in), &s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What ntpd-rs 1.4 wrote, shortened: no "now", no polynomial, no object of
// ours.
func TestReadsOlderDaemons(t *testing.T) {
	doc := `{"program":{"version":"1.4.0","build_commit":"-","build_commit_date":"-","uptime_seconds":3.5},
	"system":{"stratum":2,"reference_id":1,"accumulated_steps_threshold":null,"precision":3.8e-6,"root_delay":0.001,
	"root_dispersion":0.002,"leap_indicator":"NoWarning","accumulated_steps":0.0},"sources":[],"servers":[]}`
	var s State
	in := append(binary.BigEndian.AppendUint64(nil, uint64(len(doc))), doc...)
	if err := decode(bytes.NewReader(in), &s); err != nil {
		t.Fatal(err)
	}
	if d := s.System.Dispersion(s.Program.Now); d != 0.002 || s.Own != nil {
		t.Errorf("dispersion %v, own %v", d, s.Own)
	}
}

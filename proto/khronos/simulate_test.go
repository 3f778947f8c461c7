package khronos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

var update = flag.Bool("update", false, "write the table into docs/security/khronos.md")

const document = "../../docs/security/khronos.md"

// trial is a watchdog in a pool of 200 servers, some of which lie, at the clock
// of a machine. It asks once an hour, and again at once when it doubts.
type trial struct {
	liars int            // of 200
	lie   proto.Duration // what they say the clock is off
	off   proto.Duration // what the clock is off: true time minus clock
}

// hours gives after how many hours an alarm is raised, or limit.
func (tr trial) hours(seed uint64, limit int) int {
	entropy := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	noise := rand.New(rand.NewPCG(seed, 7))
	w := known(200)
	for hour := range limit {
		for {
			drawn, err := w.Draw(entropy)
			if err != nil {
				panic(err)
			}
			v, _ := w.Judge(tr.ask(drawn, noise))
			if v == Alarm {
				return hour
			}
			if v != Again && v != Everyone {
				break
			}
		}
	}
	return limit
}

// ask is what servers say: honest ones the truth, with what asymmetric paths
// do to it (5 ms, one standard deviation); one in twenty does not answer.
func (tr trial) ask(drawn []netip.Addr, noise *rand.Rand) []proto.Duration {
	var out []proto.Duration
	for _, a := range drawn {
		b := a.As4()
		i := int(b[2])<<8 | int(b[3])
		switch {
		case i < tr.liars: // who lies answers
			out = append(out, tr.lie)
		case noise.IntN(20) > 0:
			out = append(out, tr.off+proto.Duration(noise.NormFloat64()*5*float64(ms)))
		}
	}
	return out
}

// TestSimulation shows what the watchdog is good for. A machine whose own
// sources were all captured has a clock that is off by a second, and so say the
// liars of the pool that it is right; an honest machine has a true clock.
func TestSimulation(t *testing.T) {
	const runs = 100
	const day, year = 24, 24 * 365
	var b strings.Builder
	b.WriteString("| liars in the pool | captured clock: alarm within a day | mean time to it | true clock: false alarms in a year |\n|---|---|---|---|\n")
	for _, percent := range []int{0, 10, 20, 30, 40} {
		captured := trial{liars: 2 * percent, lie: 0, off: proto.Second}
		honest := trial{liars: 2 * percent, lie: proto.Second, off: 0}
		caught, total, wrong := 0, 0, 0
		for seed := range uint64(runs) {
			if h := captured.hours(seed, day); h < day {
				caught++
				total += h
			}
		}
		for seed := range uint64(10) {
			if honest.hours(seed, year) < year {
				wrong++
			}
		}
		mean := "none"
		if caught > 0 {
			mean = fmt.Sprintf("%.1f h", float64(total)/float64(caught))
		}
		fmt.Fprintf(&b, "| %d %% | %d of %d | %s | %d of 10 |\n", percent, caught, runs, mean, wrong)
		if percent <= 30 && (caught < runs || wrong > 0) {
			t.Errorf("%d %% liars: %d of %d caught, %d false alarms", percent, caught, runs, wrong)
		}
	}
	const begin, end = "<!-- The table: written by go test ./proto/khronos -update -->\n", "<!-- The end of the table -->\n"
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatal("the document has no place for the table")
	}
	want := before + begin + "\n" + b.String() + "\n" + end + after
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("the table in %s is not\n%s", document, b.String())
	}
}

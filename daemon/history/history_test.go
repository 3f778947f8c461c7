package history

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/ntpd-go/ntpd-go/internal/jsonschema"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a moment after the start.
func at(d time.Duration) proto.Now {
	return proto.Now{Mono: proto.Instant(time.Hour + d), Wall: proto.FromTime(noon.Add(d))}
}

func source(id int, samples uint64) engine.SourceStatus {
	return engine.SourceStatus{
		ID: kalman.SourceID(id), Name: fmt.Sprintf("s%d.test:123", id), Addr: netip.MustParseAddrPort("192.0.2.1:123"),
		Measured: engine.Measurement{Offset: proto.FromSeconds(0.25), Delay: proto.FromSeconds(0.125)}, Sigma: proto.FromSeconds(0.5), Samples: samples,
	}
}

func TestClockPointsEveryTenSeconds(t *testing.T) {
	r := New(at(0))
	st := engine.Status{Sigma: proto.MaxDuration, Frequency: 1e-6}
	for s := range 60 {
		if s == 30 {
			st.Sigma, st.Offset, st.Synchronised = proto.FromSeconds(0.5), proto.FromSeconds(-0.25), true
			st.Snapshot = engine.Snapshot{Mono: at(30 * time.Second).Mono, RootDelay: proto.Second, RootDispersion: proto.Second, DispersionRate: 0.0625}
		}
		r.Record(&st, at(time.Duration(s)*time.Second))
	}
	d := r.Document(0, at(time.Minute), noon.Add(time.Minute))
	if len(d.Clock) != 6 || len(d.Sources) != 0 {
		t.Fatalf("%d points, %d sources", len(d.Clock), len(d.Sources))
	}
	for i, c := range d.Clock {
		if want := float64(noon.Unix() + int64(10*i)); c.Time != want {
			t.Errorf("point %d at %v, want %v", i, c.Time, want)
		}
	}
	if c := d.Clock[2]; c.Offset != nil || c.Uncertainty != nil || c.ErrorBound != nil || c.Frequency != 1e-6 {
		t.Errorf("before: %+v", c)
	}
	if c := d.Clock[4]; *c.Offset != -0.25 || *c.Uncertainty != 0.5 || *c.ErrorBound != 0.5+1+10*0.0625 {
		t.Errorf("after: %v %v %v", *c.Offset, *c.Uncertainty, *c.ErrorBound)
	}
}

// A measurement is one point, however often the status is looked at.
func TestSourcePointsOncePerMeasurement(t *testing.T) {
	r := New(at(0))
	for s := range 10 {
		st := engine.Status{Sources: []engine.SourceStatus{source(1, uint64(s/2)), {Name: "nobody"}, source(2, 0)}}
		r.Record(&st, at(time.Duration(s)*time.Second))
	}
	d := r.Document(0, at(10*time.Second), noon.Add(10*time.Second))
	if len(d.Sources) != 1 || len(d.Sources[0].Points) != 4 {
		t.Fatalf("%+v", d.Sources)
	}
	s := d.Sources[0]
	if p := s.Points[0]; s.Name != "s1.test:123" || s.Address != "192.0.2.1:123" || p.Time != float64(noon.Unix()+2) || p.Offset != 0.25 || p.Delay != 0.125 || *p.Uncertainty != 0.5 {
		t.Errorf("%+v", s)
	}
}

func TestOnlyTheSpanIsGiven(t *testing.T) {
	r := New(at(0))
	for s := 0; s < 30*3600; s += 5 {
		st := engine.Status{Sources: []engine.SourceStatus{source(1, uint64(s+1))}}
		r.Record(&st, at(time.Duration(s)*time.Second))
	}
	now, wall := at(30*time.Hour), noon.Add(30*time.Hour)
	for _, c := range []struct{ span, want time.Duration }{{0, Span}, {time.Hour, time.Hour}, {100 * time.Hour, Span}} {
		d := r.Document(c.span, now, wall)
		from := float64(wall.Add(-c.want).Unix())
		if d.From != from || d.Clock[0].Time < from || d.Clock[0].Time > from+10 || d.Sources[0].Points[0].Time < from || d.Sources[0].Points[0].Time > from+5 {
			t.Errorf("%v: from %v: %v, %v", c.span, d.From, d.Clock[0].Time-from, d.Sources[0].Points[0].Time-from)
		}
	}
}

// However many sources there are, and however often they change.
func TestMemoryIsBounded(t *testing.T) {
	r := New(at(0))
	const points = sourcePoints + 1<<13
	for i := range points {
		st := engine.Status{Sources: []engine.SourceStatus{source(1+i/100, uint64(1+i%100))}}
		st.Sources[0].Name = fmt.Sprintf("%0200d", i/100)
		r.Record(&st, at(time.Duration(i)*time.Second))
	}
	size := uintptr(cap(r.clock.all))*unsafe.Sizeof(clockPoint{}) + uintptr(cap(r.sources.all))*unsafe.Sizeof(sourcePoint{}) + unsafe.Sizeof(*r)
	for _, n := range r.names {
		size += unsafe.Sizeof(n) + uintptr(len(n.name)+len(n.address))
	}
	if size > MaxMemory {
		t.Errorf("%d octets, more than %d", size, MaxMemory)
	}
	if len(r.names) > maxSources {
		t.Errorf("%d names", len(r.names))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rings := New(at(0))
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > MaxMemory {
		t.Errorf("a new ring takes %d octets", used)
	}
	runtime.KeepAlive(rings)
	d := r.Document(0, at(points*time.Second), noon)
	for _, s := range d.Sources {
		if len(s.Points) > 100 {
			t.Errorf("%s has the measurements of another", s.Name)
		}
	}
}

func TestDocumentsFollowTheSchema(t *testing.T) {
	r := New(at(0))
	st := engine.Status{Sigma: proto.Second, Sources: []engine.SourceStatus{source(1, 1), source(2, 1)}}
	st.Sources[1].Sigma = proto.MaxDuration
	r.Record(&st, at(time.Second))
	for _, d := range []Document{r.Document(0, at(time.Minute), noon), New(at(0)).Document(0, at(0), noon)} {
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range jsonschema.Check(DocumentSchema, b) {
			t.Error(err)
		}
	}
}

// Whoever reads does so while the daemon records.
func TestReadersAndTheRecorder(t *testing.T) {
	r := New(at(0))
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 1000 {
			st := engine.Status{Sources: []engine.SourceStatus{source(1, uint64(i+1))}}
			r.Record(&st, at(time.Duration(i)*time.Second))
		}
	})
	for range 50 {
		d := r.Document(0, at(1000*time.Second), noon)
		for _, s := range d.Sources {
			for i := 1; i < len(s.Points); i++ {
				if s.Points[i].Time < s.Points[i-1].Time {
					t.Fatal("out of order")
				}
			}
		}
	}
	all.Wait()
}

func TestRingOverwritesTheOldest(t *testing.T) {
	r := newRing[int](3)
	for i := range 5 {
		r.add(i)
	}
	var got []int
	r.each(func(v *int) { got = append(got, *v) })
	if fmt.Sprint(got) != "[2 3 4]" {
		t.Errorf("got %v", got)
	}
}

func TestKnown(t *testing.T) {
	for v, want := range map[float32]bool{0: true, 1: true, 1 << 30: false, float32(math.Inf(1)): false} {
		if got := known(v) != nil; got != want {
			t.Errorf("%v: %v", v, got)
		}
	}
	if known(float32(math.NaN())) != nil {
		t.Error("NaN is known")
	}
}

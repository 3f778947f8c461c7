package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Draws have the distribution that they are named after (Kolmogorov and
// Smirnov's test).
func TestDistributions(t *testing.T) {
	const n = 20000
	r := newRandom(1, "test")
	tests := []struct {
		name string
		draw func() float64
		cdf  func(float64) float64
	}{
		{"exponential", r.exponential, distuv.Exponential{Rate: 1}.CDF},
		{"normal", r.normal, distuv.UnitNormal.CDF},
		{"gamma 2", func() float64 { return r.gamma(2) }, distuv.Gamma{Alpha: 2, Beta: 1}.CDF},
		{"gamma ½", func() float64 { return r.gamma(0.5) }, distuv.Gamma{Alpha: 0.5, Beta: 1}.CDF},
		{"lomax 2.5", func() float64 { return r.lomax(2.5) }, func(x float64) float64 { return 1 - math.Pow(1+x, -2.5) }},
	}
	for _, tt := range tests {
		x := make([]float64, n)
		for i := range x {
			x[i] = tt.draw()
		}
		slices.Sort(x)
		worst := 0.0
		for i, v := range x {
			f := tt.cdf(v)
			worst = max(worst, math.Abs(f-float64(i)/n), math.Abs(f-float64(i+1)/n))
		}
		if worst > 1.95/math.Sqrt(n) { // one in a thousand
			t.Errorf("%s: distance %v", tt.name, worst)
		}
	}
}

func TestSine(t *testing.T) {
	for i := -1000; i <= 1000; i++ {
		turns := float64(i) / 217
		if got, want := sine(turns), math.Sin(2*math.Pi*turns); math.Abs(got-want) > 1e-14 {
			t.Fatalf("sine of %v turns is %v, want %v", turns, got, want)
		}
	}
}

// A queue with memory makes neighbours wait alike, and has the mean it says.
func TestQueueHasMemory(t *testing.T) {
	p := path{model: &Link{Base: 1, Queue: &Queue{Scale: 1e-3, Sigma: 1, Memory: 600}}, rng: newRandom(1, "queue")}
	var near, far, one []float64
	last := 0.0
	t0 := 0.0
	for i := range 40000 {
		d, ok := p.delay(t0)
		if !ok {
			t.Fatal("lost")
		}
		if i%2 == 1 {
			near, one = append(near, d), append(one, last)
			t0 += 6000
		} else {
			t0 += 10
		}
		last = d
	}
	far = append(near[1:], near[0])
	if c := stat.Correlation(one, near, nil); c < 0.25 {
		t.Errorf("packets 10 s apart correlate by %v", c)
	}
	if c := stat.Correlation(near, far, nil); math.Abs(c) > 0.05 {
		t.Errorf("packets 6000 s apart correlate by %v", c)
	}
}

// The oscillator does what its model says, as long as nobody steers.
func TestOscillator(t *testing.T) {
	c := newSteered(Clock{Offset: 0.5, Freq: 1e-5, Steps: []Step{{At: 100, Add: 2e-5}}, Phases: []Step{{At: 150, Add: 0.25}}}, 0, newRandom(1, "x"))
	c.advance(200.5)
	if want := 0.5 + 200.5*1e-5 + 100.5*2e-5 + 0.25; math.Abs(c.err-want) > 1e-12 {
		t.Errorf("error %v, want %v", c.err, want)
	}
	c = newSteered(Clock{Wander: 1e-9}, 0, newRandom(2, "x"))
	sum := 0.0
	for i := range 20000 {
		before := c.raw
		c.advance(float64(i + 1))
		sum += (c.raw - before) * (c.raw - before)
	}
	if sd := math.Sqrt(sum / 20000); math.Abs(sd/1e-9-1) > 0.03 {
		t.Errorf("wander %v", sd)
	}
}

// Steering: what is asked for is rounded as a kernel would, and a slew ends by
// itself on the clock's own time.
func TestSteeredClock(t *testing.T) {
	c := newSteered(Clock{}, proto.FromUnix(someDay, 0), newRandom(1, "x"))
	a := c.apply(kalman.Adjustment{Step: proto.Second, Frequency: 1e-5, Slew: 1e-4, For: 10 * time.Second})
	if a.At != c.read() || math.Abs(a.Frequency-1e-5) > frequencyStep || math.Abs(a.Slew-1e-4) > 2*frequencyStep {
		t.Errorf("applied %+v", a)
	}
	mono := c.mono()
	c.advance(100)
	if want := 1 + 100*a.Frequency + 10*a.Slew/(1+a.Frequency+a.Slew); math.Abs(c.err-want) > 1e-9 {
		t.Errorf("error %v, want %v", c.err, want)
	}
	if d := c.mono().Sub(mono).Seconds() - 100 - (c.err - 1); math.Abs(d) > 1e-8 {
		t.Errorf("the monotonic clock saw the step: %v", d)
	}
	if a = c.apply(kalman.Adjustment{Frequency: 1}); a.Frequency != 500e-6 {
		t.Errorf("a kernel allows 500 ppm, this clock %v", a.Frequency)
	}
}

func TestScenarioErrors(t *testing.T) {
	tests := map[string]string{
		"not json":         `{`,
		"no scenarios":     `{}`,
		"wrong type":       `{"scenarios": {"x": {"duration": "long"}}}`,
		"no period":        `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "clock": {"sine": {"amp": 1}}}}}`,
		"pulse of nothing": `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "clock": {"pulse": {"amp": 1, "high": 1}}}}}`,
		"gamma of nothing": `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "servers": [{"down": {"jitter": {"dist": "gamma", "scale": 1}}}]}}}`,
		"queue of nothing": `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "servers": [{"down": {"queue": {"scale": 1}}}]}}}`,
		"burst of nothing": `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "servers": [{"up": {"congestion": {"scale": 1}}}]}}}`,
		"unknown event":    `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "events": [{"at": 1, "kind": "flood"}]}}}`,
		"empty window":     `{"scenarios": {"x": {"duration": 10, "stats_from": 10}}}`,
		"unknown jitter":   `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "servers": [{"up": {"base": 1, "jitter": {"dist": "magic"}}}]}}}`,
		"poll upside down": `{"scenarios": {"x": {"duration": 10, "stats_from": 1, "poll": [7, 6]}}}`,
	}
	for name, text := range tests {
		if _, _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What a file says that no model knows is listed, wherever it stands.
func TestUnknownKeysAreListed(t *testing.T) {
	_, got, err := Parse([]byte(`{"_doc": "x", "scenarios": {"x": {"duration": 10, "stats_from": 1, "oops": 1, "_note": 2, "clock": {"sine": {"Amp": 1, "period": 2, "phase": 3}},
		"servers": [{}, {"up": {"base": 1, "jitter": {"dist": "none", "beta": 1}}}]}}}`))
	want := []string{"x.clock.sine.phase", "x.oops", "x.servers[1].up.jitter.beta"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestSameWorld(t *testing.T) {
	a := &Scenario{Name: "a", Doc: "x", Clock: Clock{Freq: 1}, Reference: &Figures{Chrony: 1}}
	b := &Scenario{Name: "b", Clock: Clock{Freq: 1}, Limits: &Limits{RMS: 1}}
	if !SameWorld(a, b) {
		t.Error("words and limits make a world")
	}
	if b.Clock.Wander = 1e-9; SameWorld(a, b) {
		t.Error("wander makes none")
	}
}

func TestPulse(t *testing.T) {
	p := Pulse{Amp: 2, High: 3, Low: 1}
	want := []float64{2, 2, 2, -2, 2, 2, 2, -2, 2}
	for k, v := range want {
		if got := p.at(float64(k)); got != v {
			t.Errorf("second %d: %v, want %v", k, got, v)
		}
	}
}

// Medians over seeds count those that never converge as later than all.
func TestSummarise(t *testing.T) {
	s := &Scenario{}
	run := func(seed uint64, square, to float64) *Result {
		return &Result{Scenario: s, Seed: seed, Square: square, Bounded: 1 - square, To1ms: to, To100us: to, Median: square}
	}
	got := Summarise([]*Result{run(1, 4, 5), run(2, 16, math.Inf(1)), run(3, 7, 9), run(4, 1, 3)})
	if math.Abs(got.RMS.Mean-math.Sqrt(7)) > 1e-12 || got.WorstSeed != 2 || got.To1ms != (Reach{7, 3}) || got.Bounded != -15 || got.Typical.Seed != 3 {
		t.Errorf("%+v", got)
	}
	if want := stat.StdDev([]float64{4, 16, 7, 1}, nil) / 2; math.Abs(got.Median.SE-want) > 1e-12 || math.Abs(got.RMS.SE-want/(2*math.Sqrt(7))) > 1e-12 {
		t.Errorf("standard errors %v and %v", got.Median.SE, got.RMS.SE)
	}
	got = Summarise([]*Result{run(1, 4, 5), run(2, 16, math.Inf(1)), run(3, 7, math.Inf(1))})
	if !math.IsInf(got.To100us.Median, 1) || got.when(got.To100us) != "never(1/3)" {
		t.Errorf("%+v", got.To100us)
	}
}

// A limit that cannot fail is none: each is seen to fail.
func TestLimitsFail(t *testing.T) {
	none := 0
	s := &Scenario{Limits: &Limits{RMS: 1, P99: 1, Max: 1, Within1ms: 1, Polls: 1, Steps: &none, Bounded: 1, Halts: "x", Holds: true, Says: "y"}}
	r := &Result{Scenario: s, Square: 1, P99: 1, Max: 1, To1ms: math.Inf(1), Polls: 2, Steps: 1, Bounded: 0.5, Steered: true}
	if bad := r.Check(); len(bad) != 10 {
		t.Errorf("%d of 10 limits failed: %q", len(bad), bad)
	}
	s.Limits = &Limits{}
	if bad := r.Check(); len(bad) != 0 {
		t.Errorf("without limits: %q", bad)
	}
	r.Halt = "z"
	if bad := r.Check(); len(bad) != 1 {
		t.Errorf("a halt that nobody expects: %q", bad)
	}
}

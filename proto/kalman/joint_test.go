package kalman

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
)

// healthy fails unless the joint state is finite, symmetric, has no negative
// variance, and its columns are where its paths think they are.
func healthy(t interface{ Fatalf(string, ...any) }, j *joint) {
	n := j.size()
	for i, p := range j.cols {
		if p.col != i+2 {
			t.Fatalf("the path of column %d thinks it is in %d", i+2, p.col)
		}
	}
	sum := 0.0
	for q, s := range j.model {
		sum += j.prob[q]
		if len(s.m) != n || len(s.p) != n*n {
			t.Fatalf("model %d has %d means and %d covariances for %d components", q, len(s.m), len(s.p), n)
		}
		for i := range n {
			if s.m[i]-s.m[i] != 0 || !(s.p[i*n+i] >= 0) {
				t.Fatalf("model %d component %d: mean %v variance %v", q, i, s.m[i], s.p[i*n+i])
			}
			for k := range n {
				a, b := s.p[i*n+k], s.p[k*n+i]
				if a-a != 0 || math.Abs(a-b) > 1e-9*math.Sqrt(s.p[i*n+i]*s.p[k*n+k])+1e-300 {
					t.Fatalf("model %d covariance %d, %d: %v and %v", q, i, k, a, b)
				}
				if lim := s.p[i*n+i] * s.p[k*n+k]; a*a > lim*(1+1e-6)+1e-300 {
					t.Fatalf("model %d covariance %d, %d is %v with variances %v and %v", q, i, k, a, s.p[i*n+i], s.p[k*n+k])
				}
			}
		}
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Fatalf("probabilities sum to %v", sum)
	}
}

// Whatever is added, dropped and observed, the bookkeeping holds.
func TestJointBookkeeping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j joint
		at := rawTime(1 << 40)
		j.start(at, 0, 0, 1e-8, 0)
		weights := everything
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 5).Draw(t, "what"); {
			case k == 0 && len(j.cols) < 12:
				j.grow(&path{col: -1}, -1, 0, 0, 1e-8)
			case k == 1 && len(j.cols) > 0 && len(j.cols) < 12:
				from := rapid.SampledFrom(j.cols).Draw(t, "parent")
				j.grow(&path{col: -1}, from.col, rapid.Float64Range(0.25, 1).Draw(t, "factor"), 0, 1e-9)
			case k == 2 && len(j.cols) > 0:
				p := rapid.SampledFrom(j.cols).Draw(t, "dropped")
				rest := slices.DeleteFunc(slices.Clone(j.cols), func(o *path) bool { return o == p })
				j.shrink(p)
				if !slices.Equal(rest, j.cols) || p.col != -1 {
					t.Fatalf("dropping broke the columns")
				}
			case len(j.cols) > 0:
				at += rawTime(proto.FromSeconds(rapid.Float64Range(-3, 3000).Draw(t, "pause")))
				j.predict(at)
				p := rapid.SampledFrom(j.cols).Draw(t, "path")
				y := rapid.Float64Range(-0.02, 0.02).Draw(t, "offset")
				x := excess{span: rapid.Float64Range(0, 1e-2).Draw(t, "span"), sigma: 1e-4}
				j.observe(at, proto.FromSeconds(y), p, x, &weights)
			}
			healthy(t, &j)
		}
	})
}

// After 1e5 updates the covariance is still one.
func TestJointStaysHealthy(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var j joint
	at := rawTime(1 << 40)
	j.start(at, 0, 0, 1e-8, 0)
	for range 6 {
		j.grow(&path{col: -1, prior: 1e-6}, -1, 0, 0, 1e-6)
	}
	var weights [hypotheses]float64
	for i := range 4 {
		weights[i] = 1          // normal
		weights[levels+4+i] = 1 // uniform
	}
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	drift := 0.0
	for i := range n {
		at += rawTime(proto.FromSeconds(16))
		drift += 1e-10 * rng.NormFloat64()
		j.predict(at)
		wait := 1e-4 * (rng.ExpFloat64() + rng.ExpFloat64())
		y := drift*16*float64(i) + (rng.Float64()-0.5)*wait
		j.observe(at, proto.FromSeconds(y), j.cols[i%6], excess{span: wait, lean: wait, sigma: 1e-4}, &weights)
		if i%1000 == 0 {
			healthy(t, &j)
		}
	}
	healthy(t, &j)
}

// Shifting x against the biases changes no prediction of a sample.
func TestShiftIsInvisible(t *testing.T) {
	var j joint
	at := rawTime(1 << 40)
	j.start(at, 0, 1e-6, 1e-8, 0)
	j.grow(&path{col: -1}, -1, 0, 1e-3, 1e-8)
	j.grow(&path{col: -1}, -1, 0, -2e-3, 1e-8)
	before, _ := j.expect(at, proto.Second/1000, j.cols[1])
	j.shift(0.25)
	after, _ := j.expect(at, proto.Second/1000, j.cols[1])
	if math.Abs(before-after) > 1e-12 {
		t.Errorf("innovation %v before and %v after", before, after)
	}
	if o := j.look(at, nil); math.Abs(o.offset-0.25) > 1e-12 {
		t.Errorf("offset %v", o.offset)
	}
}

// Whole seconds move between the state and its origin without a trace.
func TestOriginIsInvisible(t *testing.T) {
	var j joint
	at := rawTime(1 << 40)
	j.start(at, 0, 0, 1e-8, 0)
	j.shift(1e6 + 0.25)
	before := j.origin.Seconds() + j.look(at, nil).offset
	j.settle()
	after := j.origin.Seconds() + j.look(at, nil).offset
	if x := j.model[0].m[0]; x < 0 || x > 1 || math.Abs(before-after) > 1e-9 {
		t.Errorf("state %v, offset %v before and %v after", x, before, after)
	}
}

// Prediction backwards in time does not gain or lose certainty in the state.
func TestLateSamples(t *testing.T) {
	var j joint
	at := rawTime(1 << 40)
	j.start(at, 0, 1e-6, 1e-8, 0)
	j.grow(&path{col: -1}, -1, 0, 0, 1e-8)
	j.predict(at + rawTime(10*proto.Second))
	state := j.at
	j.predict(at)
	if j.at != state {
		t.Errorf("a late sample moved the state to %v", j.at)
	}
	v, _ := j.expect(at, 0, j.cols[0])
	if math.Abs(v) > 1e-12 {
		t.Errorf("ten seconds earlier x was 0, but the innovation is %v", v)
	}
}

func TestMixingKeepsMeanAndProbability(t *testing.T) {
	p := probabilities{0.1, 0.2, 0.3, 0.25, 0.15}
	q := p
	weights := q.mix()
	sum := 0.0
	for j := range q {
		sum += q[j]
		row := 0.0
		for i := range p {
			row += weights[j][i]
		}
		if math.Abs(row-1) > 1e-12 {
			t.Errorf("weights of model %d sum to %v", j, row)
		}
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("probabilities sum to %v", sum)
	}
	tracks := [models]track{{x: 1}, {x: 2}, {x: 3}, {x: 4}, {x: 5}}
	before, after := 0.0, 0.0
	for i := range p {
		before += p[i] * tracks[i].x
		after += q[i] * merge(&weights[i], &tracks).x
	}
	if math.Abs(before-after) > 1e-12 {
		t.Errorf("mean %v before mixing and %v after", before, after)
	}
}

package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// joint is what all selected sources together say: the offset x of true time
// from raw time, its rate w, and a bias for each path to each source. One
// clock has one x and w, so what is learnt over one source helps with all.
type joint struct {
	started bool
	origin  proto.Duration // what x is relative to
	at      rawTime
	cols    []*path // of the biases: state component 2+i
	prob    probabilities
	model   [models]state
	mixed   [models]state // room to mix in
}

// state is a mean and a covariance (row by row).
type state struct {
	m []float64
	p []float64
}

// start begins with the first offset.
func (j *joint) start(at rawTime, offset proto.Duration, w, variance, wander float64) {
	j.started, j.at, j.origin = true, at, offset
	j.prob = initialProbabilities(wander)
	for q := range j.model {
		j.model[q] = state{m: []float64{0, w}, p: []float64{firstVariance, 0, 0, variance}}
	}
	for _, c := range j.cols {
		c.col = -1
	}
	j.cols = nil
}

// size of the state.
func (j *joint) size() int { return 2 + len(j.cols) }

// grow adds a bias that depends on another component with a factor, and has a
// mean and a variance of its own besides. from < 0 is independent.
func (j *joint) grow(p *path, from int, factor, mean, variance float64) {
	n := j.size()
	for q := range j.model {
		old := j.model[q]
		s := state{m: make([]float64, n+1), p: make([]float64, (n+1)*(n+1))}
		copy(s.m, old.m)
		for i := range n {
			copy(s.p[i*(n+1):], old.p[i*n:(i+1)*n])
		}
		s.m[n] = mean
		s.p[n*(n+1)+n] = variance
		if from >= 0 {
			s.m[n] += float64(factor * old.m[from])
			for i := range n {
				v := factor * old.p[i*n+from]
				s.p[i*(n+1)+n], s.p[n*(n+1)+i] = v, v
			}
			s.p[n*(n+1)+n] += float64(factor * factor * old.p[from*n+from])
		}
		j.model[q] = s
	}
	j.cols = append(j.cols, p)
	p.col = n
}

// shrink forgets a bias.
func (j *joint) shrink(p *path) {
	k, n := p.col, j.size()
	if k < 0 {
		return
	}
	for q := range j.model {
		old := j.model[q]
		s := state{}
		for i := range n {
			if i == k {
				continue
			}
			s.m = append(s.m, old.m[i])
			s.p = append(s.p, old.p[i*n:i*n+k]...)
			s.p = append(s.p, old.p[i*n+k+1:(i+1)*n]...)
		}
		j.model[q] = s
	}
	j.cols = append(j.cols[:k-2:k-2], j.cols[k-1:]...)
	p.col = -1
	for i, c := range j.cols {
		c.col = 2 + i
	}
}

// doubt adds variance to a component, 0 for x and 1 for w.
func (j *joint) doubt(i int, variance float64) {
	n := j.size()
	for q := range j.model {
		j.model[q].p[i*n+i] += variance
	}
}

// predict mixes the models and moves them on.
func (j *joint) predict(at rawTime) {
	weights := j.prob.mix()
	n := j.size()
	for q := range j.mixed {
		j.mixed[q].blend(&weights[q], &j.model, n)
	}
	j.model, j.mixed = j.mixed, j.model
	dt := at.since(j.at)
	if dt <= 0 {
		return
	}
	j.at = at
	for q := range j.model {
		j.model[q].advance(dt, wanders[q]*wanders[q], n)
	}
}

// blend makes a state the moment-matched mixture of others.
func (s *state) blend(weights *[models]float64, all *[models]state, n int) {
	s.m, s.p = fit(s.m, n), fit(s.p, n*n)
	for q := range all {
		for i, v := range all[q].m {
			s.m[i] += float64(weights[q] * v)
		}
	}
	for q := range all {
		a := &all[q]
		for i := range n {
			di := a.m[i] - s.m[i]
			for k := range n {
				dk := a.m[k] - s.m[k]
				s.p[i*n+k] += float64(weights[q] * (a.p[i*n+k] + float64(di*dk)))
			}
		}
	}
}

// fit returns a slice of n zeros, in the same memory if it is large enough.
func fit(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// advance moves a state on by dt > 0. q is the variance that w gains a second.
func (s *state) advance(dt, q float64, n int) {
	s.m[0] += float64(dt * s.m[1])
	for i := range n { // P ← F·P
		s.p[i] += float64(dt * s.p[n+i])
	}
	for i := range n { // P ← P·Fᵀ
		s.p[i*n] += float64(dt * s.p[i*n+1])
	}
	s.p[0] += float64(q*dt*dt*dt/3) + float64(whiteNoise*dt)
	s.p[1] += float64(q * dt * dt / 2)
	s.p[n] += float64(q * dt * dt / 2)
	s.p[n+1] += float64(q * dt)
}

// along returns P·Hᵀ for H = x + back·w + bias col, with H·P·Hᵀ and H·m.
func (s *state) along(back float64, col, n int, out []float64) (variance, mean float64) {
	for i := range n {
		row := s.p[i*n:]
		out[i] = row[0] + float64(back*row[1])
		if col >= 0 {
			out[i] += row[col]
		}
	}
	variance = out[0] + float64(back*out[1])
	mean = s.m[0] + float64(back*s.m[1])
	if col >= 0 {
		variance += out[col]
		mean += s.m[col]
	}
	return max(variance, 1e-24), mean
}

// expect is the innovation of an offset and the variance of its prediction,
// over all models, after predict.
func (j *joint) expect(at rawTime, offset proto.Duration, p *path) (v, variance float64) {
	n := j.size()
	back := min(at.since(j.at), 0)
	y := (offset - j.origin).Seconds()
	var scratch [64]float64
	out := fit(scratch[:0], n)
	var means, vars [models]float64
	for q := range j.model {
		vars[q], means[q] = j.model[q].along(back, p.col, n, out)
		v += float64(j.prob[q] * (y - means[q]))
	}
	for q := range j.model {
		d := y - means[q] - v
		variance += float64(j.prob[q] * (vars[q] + float64(d*d)))
	}
	return v, variance
}

// observe takes in an offset over a path, after predict.
func (j *joint) observe(at rawTime, offset proto.Duration, p *path, x excess, weights *[hypotheses]float64) {
	n := j.size()
	back := min(at.since(j.at), 0)
	y := (offset - j.origin).Seconds()
	var scratch [64]float64
	ph := fit(scratch[:0], n)
	var scaled [hypotheses]float64
	var total [models]score
	for q := range j.model {
		s := &j.model[q]
		variance, mean := s.along(back, p.col, n, ph)
		var scores [hypotheses]score
		evaluateShapes(0, len(shapes), y-mean, variance, x, weights[:], scores[:])
		total[q] = mixed(weights[:], scores[:], top(scores[:]), scaled[:])
		if total[q].sane() {
			s.update(ph, variance, total[q], n)
		}
	}
	j.prob.learn(&total)
}

// update is the assumed-density update with P·Hᵀ in ph.
func (s *state) update(ph []float64, variance float64, a score, n int) {
	d2 := limitCurvature(a.d2, variance)
	for i := range n {
		s.m[i] += float64(ph[i] * a.d1)
		for k := 0; k <= i; k++ {
			v := s.p[i*n+k] + float64(float64(ph[i]*ph[k])*d2)
			s.p[i*n+k], s.p[k*n+i] = v, v
		}
		s.p[i*n+i] = max(s.p[i*n+i], 0)
	}
}

// shift moves x by δ and every bias by −δ, which no sample can tell apart.
func (j *joint) shift(delta float64) {
	for q := range j.model {
		m := j.model[q].m
		m[0] += delta
		for i := 2; i < len(m); i++ {
			m[i] -= delta
		}
	}
}

// settle keeps x small by moving whole seconds into the origin.
func (j *joint) settle() {
	if x := j.model[0].m[0]; math.Abs(x) > 1 {
		whole := proto.FromSeconds(math.Floor(x))
		j.origin += whole
		for q := range j.model {
			j.model[q].m[0] -= whole.Seconds()
		}
	}
}

// outlook is what the joint state says about a moment.
type outlook struct {
	offset   float64 // true time minus raw time, s, relative to origin
	rate     float64 // s/s
	variance float64 // of the offset, without what no sample can tell
	spread   float64 // variance of the rate
}

// look predicts. share weighs the biases whose mean is the unknowable part of
// the offset.
func (j *joint) look(at rawTime, share []float64) outlook {
	n := j.size()
	dt := at.since(j.at)
	var o outlook
	var means, vars, rates [models]float64
	for q := range j.model {
		s := &j.model[q]
		rates[q] = s.m[1]
		o.offset += float64(j.prob[q] * (s.m[0] + float64(dt*s.m[1])))
		o.rate += float64(j.prob[q] * rates[q])
		h := func(i int) float64 {
			switch {
			case i == 0:
				return 1
			case i == 1:
				return dt
			case i-2 < len(share):
				return share[i-2]
			default:
				return 0
			}
		}
		for i := range n {
			hi := h(i)
			if hi == 0 {
				continue
			}
			means[q] += float64(hi * s.m[i])
			for k := range n {
				vars[q] += float64(float64(hi*h(k)) * s.p[i*n+k])
			}
		}
		if dt > 0 {
			vars[q] += float64(wanders[q]*wanders[q]*dt*dt*dt/3) + float64(whiteNoise*dt)
		}
	}
	middle := 0.0
	for q, m := range means {
		middle += float64(j.prob[q] * m)
	}
	for q := range j.model {
		dx, dw := means[q]-middle, rates[q]-o.rate
		o.variance += float64(j.prob[q] * (max(vars[q], 0) + float64(dx*dx)))
		o.spread += float64(j.prob[q] * (j.model[q].p[n+1] + float64(dw*dw)))
	}
	return o
}

// weigh takes in what a source says after all its samples so far, as one
// observation.
func (j *joint) weigh(at rawTime, origin proto.Duration, p *path, t track) {
	n := j.size()
	back := min(at.since(j.at), 0)
	y := (origin - j.origin).Seconds() + t.x
	var scratch [64]float64
	ph := fit(scratch[:0], n)
	var all [models]score
	for q := range j.model {
		s := &j.model[q]
		variance, mean := s.along(back, p.col, n, ph)
		all[q] = normalScore(y-mean, variance+t.pxx)
		if all[q].sane() {
			s.update(ph, variance, all[q], n)
		}
	}
	j.prob.learn(&all)
}

package kalman

import (
	"math"
	"slices"
)

// path is one way through the network to a source. Routes change, and with
// them the round trip and the unknown difference of its two directions; so
// each path has its own bias.
type path struct {
	delays  window
	inherit float64 // scale of the jitter on the path before, s; 0 on the first
	mature  float64 // scale of the jitter when it was last known well, s
	anchor  float64 // how much of the bias is the server's own doing, s
	prior   float64 // variance of the bias before anything was learnt, s²
	from    *path   // the path that it seemed to be longer than; nil if none
	rise    float64 // by so much, s
	queue   bool    // it was no path, but a queue on the one before
	col     int     // of the bias in the joint state; -1 when it is not there
	used    uint64  // for forgetting the least recently used
}

const (
	// maxPaths of a source are remembered.
	maxPaths = 4
	// matureCount delays tell the scale of the jitter.
	matureCount = 16
	// recentCount delays show a new level.
	recentCount = 8
	// minScale of the jitter, s: below are clock reads and card resolutions.
	minScale = 0.2e-6
	// stillness is how small a shift of the round trip means nothing, s.
	stillness = 2e-6
	// sunk is the part of a rise below which it was none.
	sunk = 0.1
)

// fork makes a path whose jitter is expected to be like this one's.
func (p *path) fork() *path {
	return &path{col: -1, prior: p.prior, inherit: p.steadyScale()}
}

// base is the shortest round trip seen.
func (p *path) base() float64 { return p.delays.shortest() }

// count of delays in memory.
func (p *path) count() int { return len(p.delays.seen) }

// scale of the jitter: the median excess over the shortest.
func (p *path) scale() float64 {
	n := p.count()
	s := max(p.delays.rank(0.5)-p.base(), minScale)
	switch {
	case n >= recentCount:
	case p.inherit > 0:
		s = max(s, p.inherit)
	default:
		s = max(s, 0.05*p.base()/float64(n))
	}
	return s
}

// steadyScale is the scale for judging changes of the path.
func (p *path) steadyScale() float64 {
	if p.count() < matureCount {
		return max(p.scale(), p.mature, p.inherit)
	}
	return p.scale()
}

// threshold is how far the base must move to be another path.
func (p *path) threshold() float64 { return float64(3*p.steadyScale()) + stillness }

// add remembers a delay.
func (p *path) add(at rawTime, delay float64) {
	p.delays.add(at, delay)
	if p.count() >= matureCount {
		p.mature = p.scale()
	}
}

// excess is what a delay, which is in memory already, says about its sample.
// The true base lies below the shortest delay seen: by how much is guessed
// from the spacing of the short ones, cautiously for the width of the error.
func (p *path) excess(delay float64) excess {
	n := float64(p.count())
	m, sigma := p.base(), p.scale()
	quarter := p.delays.rank(0.25) - m
	rho := min(1.77/math.Sqrt(n), 0.5)
	gap := quarter * rho / (1 - rho)
	lean := min(gap, quarter/(0.288*n))
	switch {
	case p.inherit > 0 && n < matureCount:
		gap = max(gap, 0.75*p.inherit/math.Sqrt(n))
		lean = max(lean, 0.5*p.inherit/n)
	case p.inherit == 0 && n < recentCount:
		gap = max(gap, 0.25*sigma/math.Sqrt(n))
	}
	over := max(delay-m, 0)
	return excess{span: over + gap, lean: over + lean, sigma: sigma, spread: gap}
}

// route keeps track of which path a source is reached over.
type route struct {
	paths  []*path
	now    *path
	recent []trip // of the path in use, those that showed it first, newest last
	since  int    // samples on this path since it was taken
	turned bool   // it was blamed for a shift of the offset since then
	clock  uint64
}

// move is a change of path.
type move struct {
	from, to *path
	known    bool    // the new path was seen before
	lowest   bool    // the new path is the shortest ever, and was not known
	shift    float64 // how far the round trip moved, s, > 0
}

// start begins with a path.
func (r *route) start(prior float64) *path {
	r.now = &path{prior: prior, col: -1}
	r.paths = []*path{r.now}
	return r.now
}

// see takes in a delay and says whether the path changed. The delay is in the
// memory of the path afterwards.
func (r *route) see(at rawTime, delay float64) (m move, moved bool) {
	r.clock++
	r.since++
	r.recent = append(r.recent, trip{at, delay})
	if len(r.recent) > recentCount {
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	if m, moved = r.down(delay); moved {
		r.take(m, 1)
		r.now.add(at, delay)
		return m, true
	}
	r.now.add(at, delay)
	r.now.used = r.clock
	if m, moved = r.refuted(); moved {
		r.take(m, 1)
		r.now.add(at, delay)
		return m, true
	}
	if m, moved = r.up(); moved {
		// The run that showed the new level belongs to it.
		for _, t := range r.now.delays.unlearn(recentCount) {
			m.to.add(t.at, t.delay)
		}
		r.take(m, recentCount)
	}
	return m, moved
}

// take goes over to a path that the newest delays, so many, have shown.
func (r *route) take(m move, shown int) {
	r.now, r.since, r.turned = m.to, 0, false
	m.to.used = r.clock
	if !m.known {
		r.paths = append(r.paths, m.to)
	}
	r.recent = slices.Delete(r.recent, 0, len(r.recent)-shown)
}

// down recognises a shorter path: one sample proves it.
func (r *route) down(delay float64) (move, bool) {
	c := r.now
	if c.count() == 0 {
		return move{}, false
	}
	var best *path
	for _, o := range r.paths {
		if o == c || o.count() == 0 || delay >= c.base()-float64(0.75*o.steadyScale()) || o.base() >= c.base() {
			continue
		}
		far := math.Abs(delay - o.base())
		if far < o.threshold() && (best == nil || far < math.Abs(delay-best.base())) {
			best = o
		}
	}
	if best != nil {
		return move{from: c, to: best, known: true, shift: c.base() - best.base()}, true
	}
	if c.count() < recentCount || delay >= c.base()-c.threshold() {
		return move{}, false
	}
	m := move{from: c, to: c.fork(), lowest: delay < r.lowest().base(), shift: c.base() - delay}
	m.to.from = r.below(delay)
	if m.to.from != nil {
		m.to.rise = delay - m.to.from.base()
	}
	return m, true
}

// below is the longest of the paths that are shorter than a delay; nil if none is.
func (r *route) below(delay float64) *path {
	var best *path
	for _, p := range r.paths {
		if p.base() < delay && (best == nil || p.base() > best.base()) {
			best = p
		}
	}
	return best
}

// up recognises a longer path: a run of delays that are all longer than the
// base, and close together (spread out they are congestion).
func (r *route) up() (move, bool) {
	c := r.now
	if c.count() < matureCount || r.since < recentCount {
		return move{}, false
	}
	level := make([]float64, len(r.recent))
	for i, t := range r.recent {
		level[i] = t.delay
	}
	slices.Sort(level)
	low, middle := level[0], level[len(level)/2]
	m, scale, threshold := c.base(), c.steadyScale(), c.threshold()
	if low <= m+threshold || middle-low >= max(3*scale, 0.1*(low-m)) {
		return move{}, false
	}
	var best *path
	for _, p := range r.paths {
		if p == c || p.count() == 0 || p.base() <= m {
			continue
		}
		far := math.Abs(p.base() - low)
		if far < max(threshold, 3*p.steadyScale()) && (best == nil || far < math.Abs(best.base()-low)) {
			best = p
		}
	}
	if best != nil {
		return move{from: c, to: best, known: true, shift: best.base() - m}, true
	}
	longer := c.fork()
	longer.from, longer.rise = c, low-m
	return move{from: c, to: longer, shift: low - m}, true
}

// refuted recognises that what was taken for a longer path was a queue: its
// round trips have sunk to those of the path before.
func (r *route) refuted() (move, bool) {
	c := r.now
	if c.from == nil || c.base()-c.from.base() >= sunk*c.rise {
		return move{}, false
	}
	c.queue = true
	return move{from: c, to: c.from, known: true, shift: c.rise}, true
}

// lowest is the path with the shortest base.
func (r *route) lowest() *path {
	best := r.now
	for _, p := range r.paths {
		if p.base() < best.base() {
			best = p
		}
	}
	return best
}

// spare returns the path to forget: what turned out to be none, and when there
// are too many the least recently used that is neither in use nor the shortest.
func (r *route) spare() *path {
	if i := slices.IndexFunc(r.paths, func(p *path) bool { return p.queue }); i >= 0 {
		return r.paths[i]
	}
	if len(r.paths) <= maxPaths {
		return nil
	}
	lowest := r.lowest()
	var old *path
	for _, p := range r.paths {
		if p != r.now && p != lowest && (old == nil || p.used < old.used) {
			old = p
		}
	}
	return old
}

func (r *route) forget(p *path) {
	r.paths = slices.DeleteFunc(r.paths, func(q *path) bool { return q == p })
	for _, q := range r.paths {
		if q.from == p {
			q.from = nil
		}
	}
}

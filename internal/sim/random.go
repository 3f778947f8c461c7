package sim

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/ntpd-go/ntpd-go/proto/exact"
)

// random is one stream of random numbers. Every model has its own, so that a
// change to one leaves the others as they were.
type random struct{ *rand.Rand }

// newRandom starts the stream of a name for a seed.
func newRandom(seed uint64, name string) random {
	h := fnv.New64a()
	h.Write([]byte(name))
	return random{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// open is uniform in (0, 1].
func (r random) open() float64 { return 1 - r.Float64() }

// exponential has mean 1.
func (r random) exponential() float64 { return -exact.Log(r.open()) }

// normal has mean 0 and variance 1 (Marsaglia's polar method).
func (r random) normal() float64 {
	for {
		u, v := 2*r.Float64()-1, 2*r.Float64()-1
		s := float64(u*u) + float64(v*v)
		if s > 0 && s < 1 {
			return u * math.Sqrt(-2*exact.Log(s)/s)
		}
	}
}

// gamma has shape k and scale 1 (Marsaglia and Tsang, with the usual boost for
// shapes below 1).
func (r random) gamma(k float64) float64 {
	if k < 1 {
		return r.gamma(k+1) * power(r.open(), 1/k)
	}
	d := k - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.normal()
		v := 1 + float64(c*x)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if exact.Log(r.open()) < float64(x*x)/2+d-float64(d*v)+float64(d*exact.Log(v)) {
			return d * v
		}
	}
}

// lomax has the given tail exponent and scale 1.
func (r random) lomax(alpha float64) float64 { return power(r.open(), -1/alpha) - 1 }

// Read makes the stream a source of entropy.
func (r random) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

// power is x^y for x > 0.
func power(x, y float64) float64 { return exact.Exp(y * exact.Log(x)) }

// sine of 2π·turns.
func sine(turns float64) float64 {
	x := turns - math.Floor(turns+0.5) // -½ … ½ turns
	if x > 0.25 {
		x = 0.5 - x
	} else if x < -0.25 {
		x = -0.5 - x
	}
	x *= 2 * math.Pi
	z := float64(x * x)
	// Taylor series; |x| ≤ π/2, the first term left out is below 1e-17.
	s := 1.0
	for n := 21.0; n >= 3; n -= 2 {
		s = 1 - float64(s*(z/(n*(n-1))))
	}
	return x * s
}

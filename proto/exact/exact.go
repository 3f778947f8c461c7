// Package exact has the few transcendental functions that the clock filter
// and the simulator need, computed with the same rounding on every machine.
//
// The standard library's versions differ in the last bits between
// architectures and between amd64 levels, because they are assembly here and
// there and because compilers may fuse a product and a sum. Here every product
// that is summed is rounded on its own (the Go specification makes an explicit
// conversion do that). All results are within two units in the last place.
package exact

import "math"

const (
	ln2Hi = 6.93147180369123816490e-01 // 33 bits, so that k·ln2Hi is exact
	ln2Lo = 1.90821492927058770002e-10
	// log2E is 1/ln 2.
	log2E = 1.44269504088896338700
)

// Log returns the natural logarithm. Log(0) is −Inf, of negative numbers NaN.
func Log(x float64) float64 {
	switch {
	case x != x || x > math.MaxFloat64:
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	// log(1+f) = f − f²/2 + s·(f²/2 + R) with s = f/(2+f) and
	// R = 2s²/3 + 2s⁴/5 + …, |s| ≤ 0.172.
	f := m - 1
	s := f / (2 + f)
	z := float64(s * s)
	r := 2.0 / 23
	for n := 21; n >= 3; n -= 2 {
		r = float64(r*z) + logSeries[n/2]
	}
	r = float64(r * z)
	half := float64(f*f) / 2
	k := float64(e)
	return float64(k*ln2Hi) - ((half - (float64(s*(half+r)) + float64(k*ln2Lo))) - f)
}

// logSeries is 2/(2i+1).
var logSeries = func() (c [11]float64) {
	for i := range c {
		c[i] = 2 / float64(2*i+1)
	}
	return c
}()

// Erfcx returns the scaled complementary error function e^(x²)·erfc(x), for
// x ≥ 0 only; it falls slowly from 1 to 0 where erfc itself would underflow.
// For negative or NaN x it returns NaN.
func Erfcx(x float64) float64 {
	switch {
	case !(x >= 0):
		return math.NaN()
	case x > 1e9:
		return sqrtPiInv / x
	}
	// Polynomials of degree 10 in y = 1/(1+x), one for each sixteenth of its
	// range, that approximate Erfcx/y: nearly constant, so that what y was
	// rounded by hardly shows.
	y := 1 / (1 + x)
	k := min(int(y*16), 15)
	t := 32*y - float64(2*k+1)
	c := &erfcxTable[k]
	p := c[10]
	for i := 9; i >= 0; i-- {
		p = float64(p*t) + c[i]
	}
	return float64(p * y)
}

const sqrtPiInv = 0.56418958354775628695 // 1/√π

package lab

import "slices"

// Median of some numbers, at least one: of an even count, the middle between the
// two in the middle.
func Median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

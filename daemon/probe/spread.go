package probe

import "math"

// spread is the root mean square distance of offsets from one of them, in
// seconds.
func spread(answers []Answer, from float64) float64 {
	sum := 0.0
	for i := range answers {
		d := *answers[i].Offset - from
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(answers)))
}

package kalman

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A row of the list of keys: key, what it takes, default.
var documentedKey = regexp.MustCompile("(?m)^\\| `algorithm\\.([a-z-]+)` \\| [^|]+ \\| ([^|]+) \\|")

// What docs/compatibility.md says of a key that is not written is what the
// discipline then does.
func TestDefaultsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range documentedKey.FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = m[2]
	}
	s := settle(Config{})
	number := func(text string) float64 {
		f, err := strconv.ParseFloat(strings.Trim(text, "`"), 64)
		if err != nil {
			t.Errorf("%q is no number: %v", text, err)
		}
		return f
	}
	for key, is := range map[string]float64{
		"initial-frequency-uncertainty": s.frequencyPrior,
		"maximum-source-uncertainty":    s.uncertaintyMax,
		"range-statistical-weight":      s.statisticalWeight,
		"range-delay-weight":            s.delayWeight,
		"slew-maximum-frequency-offset": s.slewMax,
		"maximum-frequency-steer":       s.frequencyMax,
		"meddling-threshold":            s.meddling,
	} {
		if documented[key] == "" || number(documented[key]) != is {
			t.Errorf("%s is documented as %s and is %v", key, documented[key], is)
		}
	}
	early, late, both := strings.Cut(documented["step-threshold"], " until the clock is synchronised, then ")
	if !both || number(early) != s.stepThreshold || number(late) != s.stepLate {
		t.Errorf("step-threshold is documented as %s and is %v, then %v", documented["step-threshold"], s.stepThreshold, s.stepLate)
	}
	for key, c := range map[string]struct {
		text string
		is   bool
	}{
		"initial-wander":           {"learnt", s.wanderPrior == 0},
		"slew-minimum-duration":    {"follows the poll interval", s.slewMin == 0},
		"ignore-server-dispersion": {"`false`", s.dispersion},
	} {
		if documented[key] != c.text || !c.is {
			t.Errorf("%s is documented as %s and is so: %v", key, documented[key], c.is)
		}
	}
}

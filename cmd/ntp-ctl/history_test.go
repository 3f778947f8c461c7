package main

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/history"
)

// aDay is a history of two sources; n points of each.
func aDay(n int) *history.Document {
	r := rand.New(rand.NewPCG(1, 2))
	d := &history.Document{Schema: 1, From: 1772280000, To: 1772366400}
	sources := []history.Source{{Name: "a.test:123", Address: "192.0.2.1:123"}, {Name: "b.test:123", Address: "[2001:db8::1]:123"}}
	for i := range n {
		t := d.From + float64(i)*86400/float64(n)
		offset, sigma, bound := 1e-5*r.NormFloat64(), 1e-6, 3e-4
		c := history.Clock{Time: t, Frequency: 1e-5 + 1e-8*r.NormFloat64()}
		if i > n/10 {
			c.Offset, c.Uncertainty, c.ErrorBound = &offset, &sigma, &bound
		}
		d.Clock = append(d.Clock, c)
		for j := range sources {
			sources[j].Points = append(sources[j].Points, history.Point{Time: t, Offset: 1e-4*r.NormFloat64() + float64(j)*1e-3, Delay: 0.01 + 1e-3*r.ExpFloat64()})
		}
	}
	if n > 0 {
		d.Sources = sources
	}
	return d
}

// Time errors whose Allan deviation is known.
func TestAllanDeviation(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const n = 20000
	series := map[string]func(i int) float64{
		"constant":  func(int) float64 { return 5 },
		"frequency": func(i int) float64 { return 1e-6 * float64(10*i) },
		"drift":     func(i int) float64 { return 0.5e-9 * math.Pow(float64(10*i), 2) },
		"white":     func(int) float64 { return 1e-6 * r.NormFloat64() },
	}
	want := map[string]func(tau float64) float64{
		"constant":  func(float64) float64 { return 0 },
		"frequency": func(float64) float64 { return 0 },
		"drift":     func(tau float64) float64 { return 1e-9 * tau / math.Sqrt2 },
		"white":     func(tau float64) float64 { return math.Sqrt(3) * 1e-6 / tau },
	}
	for name, x := range series {
		var samples []sample
		for i := range n {
			samples = append(samples, sample{float64(10 * i), x(i)})
		}
		got := allan(samples)
		if len(got) < 10 || got[0].tau != 10 || got[3].tau != 80 {
			t.Fatalf("%s: %v", name, got)
		}
		for _, d := range got[:10] {
			if w := want[name](d.tau); math.Abs(d.sigma-w) > 0.05*w+1e-15 {
				t.Errorf("%s: %v at %v s, want %v", name, d.sigma, d.tau, w)
			}
		}
	}
}

// No difference crosses a gap, and few samples say nothing.
func TestAllanKnowsGaps(t *testing.T) {
	var samples []sample
	for i := range 200 {
		x, at := 0.0, float64(i)
		if i >= 100 {
			x, at = 1, float64(i+1000)
		}
		samples = append(samples, sample{at, x})
	}
	for _, d := range allan(samples) {
		if d.sigma != 0 {
			t.Errorf("the step in the gap shows: %v", d)
		}
	}
	for n := range 5 {
		if got := allan(samples[:n]); len(got) != 0 {
			t.Errorf("%d samples: %v", n, got)
		}
	}
	if got := allan([]sample{{1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}}); got != nil {
		t.Errorf("all at once: %v", got)
	}
}

// Samples that come unevenly are interpolated.
func TestResample(t *testing.T) {
	got := resample([]sample{{0, 0}, {1, 1}, {3, 3}, {4, 4}, {20, 7}}, 1)
	if fmt.Sprint(got) != "[[0 1 2 3 4] [7]]" {
		t.Errorf("got %v", got)
	}
}

func TestPictures(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 500} {
		d := aDay(n)
		b, err := render(d, "png")
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds().Dx() < 500 || img.Bounds().Dy() < 500 {
			t.Errorf("%d points: %v, %v", n, img.Bounds(), err)
		}
		if b, err = render(d, "svg"); err != nil {
			t.Fatal(err)
		}
		text := ""
		dec := xml.NewDecoder(bytes.NewReader(b))
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := tok.(xml.CharData); ok {
				text += string(c)
			}
		}
		for _, want := range []string{"Clock: true time minus clock", "Frequency", "as measured", "round-trip delay", "Allan deviation", "192.0.2.1", "2001:db8::1"} {
			if !strings.Contains(text, want) {
				t.Errorf("%d points: no %q in the picture", n, want)
			}
		}
	}
	if _, err := render(aDay(0), "svg"); err == nil {
		t.Error("nothing was drawn")
	}
}

// A daemon that has just started has one interval of one source to draw, a
// second or less of it: a logarithmic axis with nothing to either side.
func TestPictureOfFirstSeconds(t *testing.T) {
	for n := range 12 {
		d := aDay(n + 1)
		d.Clock, d.Sources = d.Clock[:1], d.Sources[:1]
		for i := range d.Sources[0].Points {
			d.Sources[0].Points[i].Time = d.From + 0.5*float64(i)
		}
		if _, err := render(d, "svg"); err != nil {
			t.Errorf("%d points: %v", n+1, err)
		}
	}
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := writeCSV(&b, aDay(20)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 1+20+2*20 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if rows[1][1] != "clock" || rows[1][4] != "" || rows[20][4] == "" || rows[21][1] != "source" || rows[21][3] != "192.0.2.1:123" || rows[21][8] != "" {
		t.Errorf("%q\n%q\n%q", rows[1], rows[20], rows[21])
	}
}

func TestHistoryTable(t *testing.T) {
	for w := narrowest; w < 130; w += 10 {
		var b bytes.Buffer
		writeHistory(&b, screen{width: w, unicode: true}, aDay(1000))
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if len(lines) != 4 || !strings.Contains(lines[3], "2001") {
			t.Errorf("%d columns:\n%s", w, b.String())
		}
		for _, l := range lines {
			if w >= 60 && width(l) > w {
				t.Errorf("%d columns: %d wide: %s", w, width(l), l)
			}
		}
	}
	var b bytes.Buffer
	writeHistory(&b, screen{width: 80}, aDay(0))
	if b.String() != "Nothing was measured in that time.\n" {
		t.Errorf("got %q", b.String())
	}
}

func TestPictureFormats(t *testing.T) {
	for name, want := range map[string]string{"a.svg": "svg", "B.PNG": "png", "x/y.svg": "svg", "": "", "a": "", "a.pdf": ""} {
		if got, err := pictureFormat(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

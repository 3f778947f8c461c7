package main

import (
	"image/color"
	"math"
	"math/rand/v2"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// explain draws what docs/algorithm.md explains: how the error of a sample
// depends on its round trip, and the shapes that are tried.
func explain(dir string) error {
	if err := drawWedge(filepath.Join(dir, "wedge.svg")); err != nil {
		return err
	}
	return drawShapes(filepath.Join(dir, "shapes.svg"))
}

// drawWedge draws samples with exponential waits of 1 ms each way: the error
// of the offset lies within half the excess.
func drawWedge(path string) error {
	r := rand.New(rand.NewPCG(1, 1))
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "excess of the round trip, ms", "error of the offset, ms"
	var xy plotter.XYs
	for range 600 {
		up, down := r.ExpFloat64(), r.ExpFloat64()
		if up+down < 8 {
			xy = append(xy, plotter.XY{X: up + down, Y: (up - down) / 2})
		}
	}
	s, err := plotter.NewScatter(xy)
	if err != nil {
		return err
	}
	s.GlyphStyle = draw.GlyphStyle{Color: ourColour, Radius: vg.Points(1), Shape: draw.CircleGlyph{}}
	p.Add(plotter.NewGrid(), s)
	for _, side := range []float64{0.5, -0.5} {
		line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 8, Y: 8 * side}})
		if err != nil {
			return err
		}
		line.Color = boundColour
		p.Add(line)
	}
	return p.Save(14*vg.Centimeter, 8*vg.Centimeter, path)
}

// drawShapes draws the densities of the error that the hypotheses assume, for
// an excess of three times the scale of the jitter and a noise of a tenth.
func drawShapes(path string) error {
	const half, noise = 1.5, 0.1
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "error of the offset, in scales of the jitter", "density"
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = vg.Points(8)
	box := func(width, tilt float64) func(float64) float64 {
		return func(e float64) float64 {
			var sum, norm float64
			for i := range 400 {
				x := width * half * (float64(i)/199.5 - 1)
				w := math.Exp(tilt * x)
				norm += w
				sum += w * math.Exp(-(e-x)*(e-x)/(2*noise*noise)) / (noise * math.Sqrt(2*math.Pi))
			}
			return sum / norm
		}
	}
	normal := func(at, sd float64) func(float64) float64 {
		return func(e float64) float64 {
			return math.Exp(-(e-at)*(e-at)/(2*sd*sd)) / (sd * math.Sqrt(2*math.Pi))
		}
	}
	for _, c := range []struct {
		name   string
		f      func(float64) float64
		colour color.Color
	}{
		{"uniform", box(1, 0), ourColour},
		{"narrow", box(0.58, 0), color.RGBA{R: 0x60, G: 0xa8, B: 0xd8, A: 0xff}},
		{"tilted", box(1, 2), theirColour},
		{"one direction", normal(half, noise), quietColour},
		{"normal", normal(0, 0.56), boundColour},
	} {
		f := plotter.NewFunction(c.f)
		f.Color, f.Width, f.Samples = c.colour, vg.Points(1.2), 300
		p.Add(f)
		p.Legend.Add(c.name, f)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -2, 2, 0, 2
	return p.Save(14*vg.Centimeter, 8*vg.Centimeter, path)
}

package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/ntpd-go/ntpd-go/internal/sim"
)

var (
	ourColour    = color.RGBA{R: 0x1b, G: 0x6c, B: 0xa8, A: 0xff}
	theirColour  = color.RGBA{R: 0xc0, G: 0x50, B: 0x30, A: 0xff}
	boundColour  = color.RGBA{R: 0x50, G: 0x90, B: 0x50, A: 0xff}
	quietColour  = color.RGBA{R: 0x90, G: 0x90, B: 0x90, A: 0xff}
	bandColour   = color.RGBA{R: 0x1b, G: 0x6c, B: 0xa8, A: 0xa0}
	gridColour   = color.RGBA{R: 0xe4, G: 0xe4, B: 0xe4, A: 0xff}
	curveWidth   = 18 * vg.Centimeter
	curveHeight  = 6 * vg.Centimeter
	summaryWidth = 20 * vg.Centimeter
)

// drawErrors draws the RMS error of each scenario, ours with two standard
// errors beside those it is compared with.
func drawErrors(path string, sums []sim.Summary) error {
	p := plot.New()
	p.X.Label.Text = "RMS error, µs"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 3}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = vg.Points(8)
	var ours, chrony, optimum, candidate plotter.XYs
	var spread points
	var names []string
	for i := range sums {
		s := &sums[len(sums)-1-i] // the first on top
		y, rms := float64(i), s.RMS.Mean*1e6
		names = append(names, s.Scenario.Name)
		if !(rms > 0) || math.IsInf(rms, 1) {
			continue
		}
		ours = append(ours, plotter.XY{X: rms, Y: y})
		d := min(2e6*s.RMS.SE, 0.9*rms)
		spread.XYs = append(spread.XYs, plotter.XY{X: rms, Y: y})
		spread.XErrors = append(spread.XErrors, struct{ Low, High float64 }{d, d})
		if f := s.Scenario.Reference; f != nil {
			chrony = add(chrony, f.Chrony, y)
			optimum = add(optimum, f.Bound, y)
			candidate = add(candidate, f.Candidate, y)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	bars, err := plotter.NewXErrorBars(spread)
	if err != nil {
		return err
	}
	bars.Color = ourColour
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = gridColour, gridColour
	p.Add(grid, bars)
	for _, g := range []struct {
		name   string
		xy     plotter.XYs
		colour color.Color
		shape  draw.GlyphDrawer
	}{
		{"ntpd-go", ours, ourColour, draw.CircleGlyph{}},
		{"chrony", chrony, theirColour, draw.SquareGlyph{}},
		{"optimum", optimum, boundColour, draw.PlusGlyph{}},
		{"candidate", candidate, quietColour, draw.RingGlyph{}},
	} {
		if len(g.xy) == 0 {
			continue
		}
		s, err := plotter.NewScatter(g.xy)
		if err != nil {
			return err
		}
		s.GlyphStyle = draw.GlyphStyle{Color: g.colour, Radius: vg.Points(3), Shape: g.shape}
		p.Add(s)
		p.Legend.Add(g.name, s)
	}
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(sums))+1.5
	return p.Save(summaryWidth, vg.Length(float64(len(sums)+6)*0.55)*vg.Centimeter, path)
}

func add(to plotter.XYs, x, y float64) plotter.XYs {
	if x > 0 {
		to = append(to, plotter.XY{X: x, Y: y})
	}
	return to
}

// points are points with errors.
type points struct {
	plotter.XYs
	plotter.XErrors
}

// drawCurve draws the error over time of the typical run, and the published
// bound.
func drawCurve(path string, s *sim.Summary) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, seed %d", s.Scenario.Name, s.Typical.Seed)
	p.Title.TextStyle.Font.Size = vg.Points(9)
	p.X.Label.Text, p.Y.Label.Text = "hours", "µs"
	var high, low, above, below plotter.XYs
	for _, c := range s.Typical.Curve {
		x := c.T / 3600
		high = append(high, plotter.XY{X: x, Y: c.High * 1e6})
		low = append(low, plotter.XY{X: x, Y: c.Low * 1e6})
		if !math.IsInf(c.Bound, 1) {
			above = append(above, plotter.XY{X: x, Y: c.Bound * 1e6})
			below = append(below, plotter.XY{X: x, Y: -c.Bound * 1e6})
		}
	}
	// The start is off by far; what matters is what follows.
	limit := 1.5 * worst(s.Typical)
	clip := func(xy plotter.XYs) plotter.XYs {
		for i := range xy {
			xy[i].Y = min(max(xy[i].Y, -limit), limit)
		}
		return xy
	}
	ring := append(plotter.XYs{}, clip(high)...)
	for i := len(low) - 1; i >= 0; i-- {
		ring = append(ring, clip(low)[i])
	}
	band, err := plotter.NewPolygon(ring)
	if err != nil {
		return err
	}
	band.Color, band.LineStyle.Width = bandColour, vg.Points(0.4)
	band.LineStyle.Color = ourColour
	p.Add(plotter.NewGrid(), band)
	for _, xy := range []plotter.XYs{above, below} {
		if len(xy) < 2 {
			continue
		}
		line, err := plotter.NewLine(clip(xy))
		if err != nil {
			return err
		}
		line.Color, line.Width = boundColour, vg.Points(0.7)
		p.Add(line)
	}
	p.Y.Min, p.Y.Max = -limit, limit
	return p.Save(curveWidth, curveHeight, path)
}

// worst is the largest error in the statistics window, µs, or a little where
// there is none.
func worst(r *sim.Result) float64 {
	if m := r.Max * 1e6; m > 0 && !math.IsInf(m, 1) {
		return m
	}
	return 1
}

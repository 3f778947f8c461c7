package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/ntpd-go/ntpd-go/daemon/history"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

func plotCommand(f *flags) *cobra.Command {
	var out string
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "plot -o FILE",
		Short: "Draw what the clock and its sources did in the last day",
		Long: `Draw what the clock and its sources did in the last day, as SVG or PNG by the name of the file: the offset of the clock with
its error bound, its frequency, the offset and delay of each source, and the Allan deviation of their offsets.`,
		Example: "  ntp-ctl plot -o time.svg\n  ntp-ctl plot --since 1h -o time.png",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := pictureFormat(out)
			if err != nil {
				return cli.Exit(cli.Usage, err)
			}
			d, err := askHistory(f, since)
			if err != nil {
				return err
			}
			picture, err := render(d, format)
			if err != nil {
				return cli.Exit(cli.Failure, err)
			}
			if err := os.WriteFile(out, picture, 0o644); err != nil {
				return cli.Exit(cli.Failure, cli.Absolute(err))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write, .svg or .png")
	cmd.Flags().DurationVar(&since, "since", history.Span, "how far back, up to 24h")
	return cmd
}

func pictureFormat(name string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case name == "":
		return "", errors.New("say where to draw to, such as -o time.svg")
	case ext == ".svg", ext == ".png":
		return ext[1:], nil
	default:
		return "", fmt.Errorf("%s: draw to a file that ends in .svg or .png", name)
	}
}

// Sizes of a picture.
const (
	pictureWidth = 24 * vg.Centimeter
	panelHeight  = 7 * vg.Centimeter
)

var (
	lineColour  = color.RGBA{R: 0x1b, G: 0x6c, B: 0xa8, A: 0xff}
	boundColour = color.RGBA{R: 0xb0, G: 0xb0, B: 0xb0, A: 0xff}
)

// render draws all panels below each other.
func render(d *history.Document, format string) ([]byte, error) {
	if len(d.Clock) == 0 && len(d.Sources) == 0 {
		return nil, errors.New("the daemon has recorded nothing in that time; wait a little")
	}
	var panels [][]*plot.Plot
	for _, make := range []func(*history.Document) (*plot.Plot, error){offsetPanel, frequencyPanel, sourceOffsets, sourceDelays, allanPanel} {
		p, err := make(d)
		if err != nil {
			return nil, err
		}
		panels = append(panels, []*plot.Plot{p})
	}
	width, height := pictureWidth, panelHeight*vg.Length(len(panels))
	var canvas vg.CanvasWriterTo
	if format == "png" {
		canvas = vgimg.PngCanvas{Canvas: vgimg.New(width, height)}
	} else {
		canvas = vgsvg.New(width, height)
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadY: 3 * vg.Millimeter, PadTop: 2 * vg.Millimeter, PadBottom: 2 * vg.Millimeter, PadLeft: 2 * vg.Millimeter, PadRight: 6 * vg.Millimeter}
	for i, c := range plot.Align(panels, tiles, draw.New(canvas)) {
		panels[i][0].Draw(c[0])
	}
	var b bytes.Buffer
	_, err := canvas.WriteTo(&b)
	return b.Bytes(), err
}

// panel is a picture over time.
func panel(title, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, y
	p.X.Tick.Marker = plot.TimeTicks{Format: "15:04", Time: plot.UnixTimeIn(time.Local)}
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = vg.Points(7)
	p.Add(plotter.NewGrid())
	return p
}

// line adds a line, if there is anything to draw.
func addLine(p *plot.Plot, name string, xy plotter.XYs, c color.Color) error {
	if len(xy) == 0 {
		return nil
	}
	l, err := plotter.NewLine(xy)
	if err != nil {
		return err
	}
	l.Color = c
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	return nil
}

func offsetPanel(d *history.Document) (*plot.Plot, error) {
	var offset, above, below plotter.XYs
	for _, c := range d.Clock {
		if c.Offset != nil {
			offset = append(offset, plotter.XY{X: c.Time, Y: *c.Offset})
		}
		if c.ErrorBound != nil {
			above = append(above, plotter.XY{X: c.Time, Y: *c.ErrorBound})
			below = append(below, plotter.XY{X: c.Time, Y: -*c.ErrorBound})
		}
	}
	scale, unit := scaleOf(offset, above)
	p := panel("Clock: true time minus clock", unit)
	for _, err := range []error{
		addLine(p, "error bound", scaled(above, scale), boundColour), addLine(p, "", scaled(below, scale), boundColour),
		addLine(p, "offset", scaled(offset, scale), lineColour),
	} {
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func frequencyPanel(d *history.Document) (*plot.Plot, error) {
	var xy plotter.XYs
	for _, c := range d.Clock {
		xy = append(xy, plotter.XY{X: c.Time, Y: c.Frequency * 1e6})
	}
	p := panel("Frequency: correction of the oscillator", "ppm")
	return p, addLine(p, "", xy, lineColour)
}

func sourceOffsets(d *history.Document) (*plot.Plot, error) {
	return sourcePanel(d, "Sources: source minus clock, as measured", func(p history.Point) float64 { return p.Offset })
}

func sourceDelays(d *history.Document) (*plot.Plot, error) {
	return sourcePanel(d, "Sources: round-trip delay", func(p history.Point) float64 { return p.Delay })
}

func sourcePanel(d *history.Document, title string, value func(history.Point) float64) (*plot.Plot, error) {
	all := make([]plotter.XYs, len(d.Sources))
	for i := range d.Sources {
		for _, p := range d.Sources[i].Points {
			all[i] = append(all[i], plotter.XY{X: p.Time, Y: value(p)})
		}
	}
	scale, unit := scaleOf(all...)
	p := panel(title, unit)
	for i := range all {
		if err := addLine(p, bare(d.Sources[i].Address), scaled(all[i], scale), plotutil.Color(i)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// allanPanel draws the stability of the clock's and the sources' offsets.
func allanPanel(d *history.Document) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "Allan deviation of the offsets"
	p.X.Label.Text, p.Y.Label.Text = "interval, s", "s/s"
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = vg.Points(7)
	p.Add(plotter.NewGrid())
	var clock []sample
	for _, c := range d.Clock {
		if c.Offset != nil {
			clock = append(clock, sample{c.Time, *c.Offset})
		}
	}
	drawn := 0
	add := func(name string, samples []sample, c color.Color) error {
		var xy plotter.XYs
		for _, v := range allan(samples) {
			if v.sigma > 0 {
				xy = append(xy, plotter.XY{X: v.tau, Y: v.sigma})
			}
		}
		drawn += len(xy)
		return addLine(p, name, xy, c)
	}
	if err := add("clock", clock, color.Black); err != nil {
		return nil, err
	}
	for i := range d.Sources {
		var samples []sample
		for _, v := range d.Sources[i].Points {
			samples = append(samples, sample{v.Time, v.Offset})
		}
		if err := add(bare(d.Sources[i].Address), samples, plotutil.Color(i)); err != nil {
			return nil, err
		}
	}
	if drawn > 0 { // logarithms of an empty range do not exist
		logarithmic(&p.X)
		logarithmic(&p.Y)
	}
	return p, nil
}

// logarithmic makes a logarithmic axis of one whose values are all above 0. A
// single value is given room by a factor: plot would give it 1 to each side,
// and stop at a logarithm that does not exist.
func logarithmic(a *plot.Axis) {
	a.Scale, a.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	if a.Min == a.Max {
		a.Min, a.Max = a.Min/2, a.Max*2
	}
}

// scaleOf picks the unit in which the largest value has one to three digits
// before the point.
func scaleOf(all ...plotter.XYs) (factor float64, unit string) {
	largest := 0.0
	for _, xy := range all {
		for _, v := range xy {
			largest = max(largest, math.Abs(v.Y))
		}
	}
	switch {
	case largest >= 1:
		return 1, "s"
	case largest >= 1e-3:
		return 1e3, "ms"
	case largest >= 1e-6:
		return 1e6, "µs"
	default:
		return 1e9, "ns"
	}
}

func scaled(xy plotter.XYs, factor float64) plotter.XYs {
	out := make(plotter.XYs, len(xy))
	for i, v := range xy {
		out[i] = plotter.XY{X: v.X, Y: v.Y * factor}
	}
	return out
}

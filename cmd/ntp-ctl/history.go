package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/control"
	"github.com/ntpd-go/ntpd-go/daemon/history"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

type historyFlags struct {
	json, csv, schema bool
	since             time.Duration
	screenFlags
}

func historyCommand(f *flags) *cobra.Command {
	hf := &historyFlags{}
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what the clock and its sources did in the last day",
		Long: `Show what the clock and its sources did in the last day: a line for each with its lowest, highest and mean offset, or every
point as JSON or CSV. The daemon remembers the clock every ten seconds and each measurement of each source.`,
		Example: "  ntp-ctl history --since 1h\n  ntp-ctl history --json\n  ntp-ctl history --csv",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return showHistory(cmd, f, hf) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&hf.json, "json", false, "print JSON (see --schema)")
	fs.BoolVar(&hf.csv, "csv", false, "print CSV with a header")
	fs.BoolVar(&hf.schema, "schema", false, "print the JSON schema of --json")
	fs.DurationVar(&hf.since, "since", history.Span, "how far back, up to 24h")
	screenOptions(cmd, &hf.screenFlags)
	return cmd
}

func showHistory(cmd *cobra.Command, f *flags, hf *historyFlags) error {
	out := cmd.OutOrStdout()
	if hf.schema {
		_, err := out.Write(history.DocumentSchema)
		return err
	}
	if hf.json && hf.csv {
		return cli.Exit(cli.Usage, fmt.Errorf("--json and --csv do not go together"))
	}
	d, err := askHistory(f, hf.since)
	switch {
	case err != nil:
		return err
	case hf.json:
		return writeJSON(out, d)
	case hf.csv:
		return writeCSV(out, d)
	default:
		writeHistory(out, newScreen(out, os.Getenv, &hf.screenFlags), d)
		return nil
	}
}

// askHistory asks the daemon.
func askHistory(f *flags, since time.Duration) (*history.Document, error) {
	if since <= 0 || since > history.Span {
		return nil, cli.Exit(cli.Usage, fmt.Errorf("--since %v: give a time above 0 and up to %v", since, history.Span))
	}
	a, err := command(f, control.Request{Verb: control.History, Since: since.Seconds()})
	if err != nil {
		return nil, err
	}
	d := &history.Document{}
	if err := json.Unmarshal(a.Data, d); err != nil {
		return nil, cli.Exit(cli.Failure, fmt.Errorf("the answer is not understood: %w", err))
	}
	return d, nil
}

// writeCSV prints a line for each point; what a series does not have is empty.
func writeCSV(w io.Writer, d *history.Document) error {
	c := csv.NewWriter(w)
	row := func(fields ...string) { _ = c.Write(fields) } // errors stay until Flush
	row("time", "series", "name", "address", "offset", "uncertainty", "delay", "frequency", "error_bound")
	for i := range d.Clock {
		p := &d.Clock[i]
		row(unixText(p.Time), "clock", "", "", field(p.Offset), field(p.Uncertainty), "", field(&p.Frequency), field(p.ErrorBound))
	}
	for i := range d.Sources {
		s := &d.Sources[i]
		for j := range s.Points {
			p := &s.Points[j]
			row(unixText(p.Time), "source", s.Name, s.Address, field(&p.Offset), field(p.Uncertainty), field(&p.Delay), "", "")
		}
	}
	c.Flush()
	return c.Error()
}

func unixText(t float64) string { return strconv.FormatFloat(t, 'f', 3, 64) }

func field(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}

// writeHistory prints a line for the clock and each source.
func writeHistory(w io.Writer, sc screen, d *history.Document) {
	cols := []*column{
		{title: "OFFSET OF", least: 12}, {title: "POINTS", right: true, drop: 1}, {title: "LOWEST", right: true}, {title: "HIGHEST", right: true},
		{title: "MEAN", right: true, drop: 2}, {title: "LEAST DELAY", right: true, drop: 3}, {},
	}
	var series [][]float64
	add := func(name string, values []float64, delay *float64) {
		low, high := extent(values)
		if low > high {
			return
		}
		series = append(series, values)
		for i, cell := range []string{name, fmt.Sprint(len(values)), observe.Signed(low), observe.Signed(high), observe.Signed(mean(values)), or(delay, observe.Magnitude)} {
			cols[i].cells = append(cols[i].cells, cell)
		}
	}
	add("clock", clockOffsets(d), nil)
	for i := range d.Sources {
		s := &d.Sources[i]
		values, least := make([]float64, len(s.Points)), math.Inf(1)
		for j := range s.Points {
			values[j], least = s.Points[j].Offset, min(least, s.Points[j].Delay)
		}
		add(bare(s.Address), values, &least)
	}
	if len(series) == 0 {
		fmt.Fprintln(w, "Nothing was measured in that time.")
		return
	}
	room := sc.width - len(cols) + 1
	for _, c := range cols {
		room -= c.width()
	}
	for _, values := range series {
		cols[6].cells = append(cols[6].cells, sparkline(condense(values, max(room, 8)), max(room, 8)))
	}
	sc.grid(w, cols, nil)
}

// clockOffsets are those that were known.
func clockOffsets(d *history.Document) []float64 {
	var all []float64
	for i := range d.Clock {
		if o := d.Clock[i].Offset; o != nil {
			all = append(all, *o)
		}
	}
	return all
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// condense makes n means of many values.
func condense(values []float64, n int) []float64 {
	if len(values) <= n {
		return values
	}
	all := make([]float64, n)
	for i := range all {
		all[i] = mean(values[i*len(values)/n : (i+1)*len(values)/n])
	}
	return all
}

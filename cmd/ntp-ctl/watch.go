package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// shortestWatch is how often the daemon is asked at the most.
const shortestWatch = 100 * time.Millisecond

// Control sequences of a terminal: the alternate screen keeps what was there
// before, and clearing to the end of each line does not flicker.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[H"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	endOfLine   = "\x1b[K"
	endOfScreen = "\x1b[J"
)

// watch shows the status again and again. On a terminal it draws over itself
// and ends at q; elsewhere it prints one block below the other.
func watch(cmd *cobra.Command, path string, f *flags, sf *statusFlags) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := cmd.OutOrStdout()
	w := &watcher{path: path, out: out, f: f, sf: sf}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) && f.format == "table" {
		io.WriteString(out, enterScreen)
		defer io.WriteString(out, leaveScreen)
		w.full = true
		w.keys(ctx, stop)
	}
	resized := make(chan os.Signal, 1)
	onResize(resized)
	defer signal.Stop(resized)
	tick := time.NewTicker(sf.every)
	defer tick.Stop()
	for round := 1; ; round++ {
		if err := w.ask(); err != nil {
			return err
		}
		if sf.times > 0 && round >= sf.times {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-resized:
				if !w.full || w.last == nil {
					continue
				}
				if err := w.draw(); err != nil {
					return err
				}
			case <-tick.C:
				waiting = false
			}
		}
	}
}

// watcher remembers what it saw.
type watcher struct {
	path  string
	out   io.Writer
	f     *flags
	sf    *statusFlags
	full  bool // the whole screen is ours
	trail trail
	last  *observe.Report
	state observe.State
	err   error
}

// keys ends the watch at q. The terminal hands over keys at once and does not
// print them; its size and Ctrl-C stay as they are.
func (w *watcher) keys(ctx context.Context, stop func()) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return
	}
	before, err := quietKeys(fd)
	if err != nil {
		return
	}
	context.AfterFunc(ctx, before)
	go func() {
		key := make([]byte, 1)
		for {
			if n, err := os.Stdin.Read(key); err != nil || n == 0 || key[0] == 'q' || key[0] == 'Q' {
				stop()
				return
			}
		}
	}()
}

// ask reads the state and shows it. A daemon that was there before and is not
// now may come back: it is asked again.
func (w *watcher) ask() error {
	s, err := observe.Read(w.path, readTimeout)
	if err != nil {
		if w.last == nil {
			return cli.Exit(cli.Failure, err)
		}
		w.err = err
	} else {
		w.err, w.state = nil, s
		w.last = observe.NewReport(&w.state, time.Now())
		w.trail.add(w.last)
	}
	return w.draw()
}

func (w *watcher) draw() error {
	if !w.full {
		if w.err != nil {
			fmt.Fprintf(w.out, "%v\n\n", w.err)
			return nil
		}
		if err := write(w.out, &w.state, w.f, w.sf); err != nil {
			return err
		}
		_, err := io.WriteString(w.out, "\n")
		return err
	}
	sc := newScreen(w.out, os.Getenv, &w.sf.screenFlags)
	frame := &strings.Builder{}
	if w.err != nil {
		sc.paragraph(frame, "", w.err.Error())
		fmt.Fprintln(frame)
	}
	if err := writeTable(frame, sc, w.last); err != nil {
		return err
	}
	w.trail.write(frame, sc)
	fmt.Fprintf(frame, "\n%s", sc.paint(dim, fmt.Sprintf("every %v; q ends", w.sf.every)))
	_, err := io.WriteString(w.out, home+strings.ReplaceAll(frame.String(), "\n", endOfLine+"\n")+endOfLine+endOfScreen)
	return err
}

// trail keeps the offsets that a watch has seen, for sparklines.
type trail struct {
	names  []string
	values map[string][]float64
}

// longestTrail is as much as the widest screen shows.
const longestTrail = 512

func (t *trail) add(r *observe.Report) {
	if t.values == nil {
		t.values = map[string][]float64{}
	}
	put := func(name string, v *float64) {
		x := math.NaN()
		if v != nil {
			x = *v
		}
		if _, known := t.values[name]; !known {
			t.names = append(t.names, name)
		}
		t.values[name] = append(t.values[name], x)
		if n := len(t.values[name]); n > longestTrail {
			t.values[name] = t.values[name][n-longestTrail:]
		}
	}
	put("clock", r.Clock.Offset)
	for i := range r.Sources {
		if s := &r.Sources[i]; s.Address != nil {
			put(bare(*s.Address), s.Offset)
		}
	}
}

// write draws a sparkline for the clock and each source.
func (t *trail) write(w io.Writer, sc screen) {
	cols := []*column{{title: "OFFSET OF", least: 12}, {title: "LOWEST", right: true, drop: 1}, {title: "HIGHEST", right: true, drop: 2}, {}}
	for _, name := range t.names {
		low, high := extent(t.values[name])
		if low > high {
			continue
		}
		cols[0].cells = append(cols[0].cells, name)
		cols[1].cells = append(cols[1].cells, observe.Signed(low))
		cols[2].cells = append(cols[2].cells, observe.Signed(high))
	}
	if len(cols[0].cells) == 0 {
		return
	}
	room := sc.width - 3
	for _, c := range cols[:3] {
		room -= c.width()
	}
	for _, name := range cols[0].cells {
		cols[3].cells = append(cols[3].cells, sparkline(t.values[name], max(room, 8)))
	}
	fmt.Fprintln(w)
	sc.grid(w, cols, nil)
}

// extent is the least and the largest of the numbers; low > high when there
// are none.
func extent(values []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high
}

// sparkline draws the last values that fit, one a column, scaled between the
// least and the largest; a gap where there is none.
func sparkline(values []float64, room int) string {
	values = values[max(len(values)-room, 0):]
	low, high := extent(values)
	blocks := []rune("▁▂▃▄▅▆▇█")
	out := make([]rune, len(values))
	for i, v := range values {
		switch {
		case math.IsNaN(v):
			out[i] = ' '
		case high == low:
			out[i] = blocks[3]
		default:
			out[i] = blocks[int(math.Round((v-low)/(high-low)*float64(len(blocks)-1)))]
		}
	}
	return string(out)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// exitUnknown is waitsync's exit code when nothing is known: nobody could be
// asked, or a signal ended it.
const exitUnknown = 2

type waitFlags struct {
	timeout time.Duration
	bound   time.Duration
	quiet   bool
	screenFlags
}

func waitsyncCommand(f *flags) *cobra.Command {
	wf := &waitFlags{}
	cmd := &cobra.Command{
		Use:   "waitsync",
		Short: "Wait until the clock is synchronised",
		Long: `Wait until the clock is synchronised, and say meanwhile what is waited for: in one line that changes on a terminal, and
with a line for each change elsewhere. A daemon that is not there yet is waited for too.

Exit codes: 0 synchronised; 1 not in time; 2 interrupted, or the daemon could not be asked.`,
		Example: "  ntp-ctl waitsync --timeout 3m\n  ntp-ctl waitsync --max-error 50ms --quiet",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return waitsync(cmd, f, wf) },
	}
	cmd.Flags().DurationVarP(&wf.timeout, "timeout", "t", 3*time.Minute, "give up after this long; 0 never")
	cmd.Flags().DurationVar(&wf.bound, "max-error", 0, "wait until the clock is known to be within this of true time; 0 for any")
	cmd.Flags().BoolVarP(&wf.quiet, "quiet", "q", false, "say nothing")
	screenOptions(cmd, &wf.screenFlags)
	return cmd
}

// askInterval is how often the daemon is asked.
const askInterval = 250 * time.Millisecond

func waitsync(cmd *cobra.Command, f *flags, wf *waitFlags) error {
	if wf.timeout < 0 || wf.bound < 0 {
		return cli.Exit(cli.Usage, errors.New("--timeout and --max-error: give a time that is not below 0"))
	}
	path, err := observationPath(f.config)
	if err != nil {
		return cli.Exit(exitUnknown, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if wf.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wf.timeout)
		defer cancel()
	}
	p := newProgress(cmd.OutOrStdout(), wf)
	defer p.end()
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		s, readErr := observe.Read(path, readTimeout)
		if readErr == nil {
			r := observe.NewReport(&s, time.Now())
			if p.show(r, deadlineText(ctx)); r.Clock.State == observe.ClockSynchronised && withinBound(r, wf.bound) {
				return nil
			}
		} else {
			p.line("waiting for the daemon: "+readErr.Error(), deadlineText(ctx))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p.verdict(ctx, readErr)
		}
	}
}

func withinBound(r *observe.Report, bound time.Duration) bool {
	return bound == 0 || r.Clock.ErrorBound != nil && *r.Clock.ErrorBound <= bound.Seconds()
}

// deadlineText says how long there is left.
func deadlineText(ctx context.Context) string {
	end, ok := ctx.Deadline()
	if !ok {
		return ""
	}
	return observe.Rough(math.Ceil(max(time.Until(end).Seconds(), 0))) + " left"
}

// progress says what is waited for.
type progress struct {
	out      io.Writer
	sc       screen
	quiet    bool
	terminal bool
	said     string
	bound    time.Duration
}

func newProgress(out io.Writer, wf *waitFlags) *progress {
	file, ok := out.(*os.File)
	return &progress{
		out: out, sc: newScreen(out, os.Getenv, &wf.screenFlags), quiet: wf.quiet, bound: wf.bound,
		terminal: ok && term.IsTerminal(int(file.Fd())),
	}
}

// show says how the clock is.
func (p *progress) show(r *observe.Report, left string) {
	text := r.Headline
	if r.Clock.State == observe.ClockSynchronised && !withinBound(r, p.bound) {
		text = fmt.Sprintf("Synchronised, and waiting for an error below %s.", observe.Magnitude(p.bound.Seconds()))
	}
	if r.Clock.State == observe.ClockUnsynchronised && r.Clock.Agreeing != nil && r.Clock.Needed != nil {
		text += fmt.Sprintf(" %d agree, %d must.", *r.Clock.Agreeing, *r.Clock.Needed)
	}
	p.line(text, left)
}

// line prints a state: over the last one on a terminal, and elsewhere only
// what is new.
func (p *progress) line(text, left string) {
	text = p.sc.text(text)
	switch {
	case p.quiet:
	case p.terminal:
		if left != "" {
			text += " " + left
		}
		r := []rune(text)
		io.WriteString(p.out, "\r"+string(r[:min(len(r), p.sc.width-1)])+endOfLine)
	case text != p.said:
		fmt.Fprintln(p.out, text)
	}
	p.said = text
}

func (p *progress) end() {
	if p.terminal && !p.quiet && p.said != "" {
		fmt.Fprintln(p.out)
	}
}

// verdict is why the wait ended without success.
func (p *progress) verdict(ctx context.Context, readErr error) error {
	switch {
	case !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return cli.Exit(exitUnknown, errors.New("interrupted"))
	case readErr != nil:
		return cli.Exit(exitUnknown, readErr)
	case p.quiet:
		return cli.Exit(cli.Failure, nil)
	default:
		return cli.Exit(cli.Failure, errors.New("the clock was not synchronised in time (ntp-ctl status says why)"))
	}
}

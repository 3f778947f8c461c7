package main

import (
	"bufio"
	"context"
	"errors"
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

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/proto"
)

// closeEnough is the error below which the clock is left to the daemon.
const closeEnough = proto.Second

type forceFlags struct {
	yes, dry bool
	timeout  time.Duration
}

func forceSyncCommand(f *flags) *cobra.Command {
	ff := &forceFlags{}
	cmd := &cobra.Command{
		Use:   "force-sync",
		Short: "Set the clock at once to what the configured sources say, whatever the limits on steps",
		Long: `Ask the configured sources for the time, show what would be changed, ask, and step the clock. No daemon is needed, and one
that runs notices. As many sources must agree as for the daemon, but no limit on steps applies: that is what this is for.
A clock that is less than a second off is left alone.

Exit codes: 0 the clock is right, was set, or you said no; 1 the sources do not agree in time, or nobody can be asked;
77 the clock may not be set; 78 the configuration cannot be used.`,
		Example: "  ntp-ctl force-sync --dry-run\n  ntp-ctl force-sync --yes --timeout 1m",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return forceSync(cmd, f, ff) },
	}
	cmd.Flags().BoolVarP(&ff.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVarP(&ff.dry, "dry-run", "n", false, "only say what would be done")
	cmd.Flags().DurationVar(&ff.timeout, "timeout", 30*time.Second, "how long the sources have to agree")
	return cmd
}

func forceSync(cmd *cobra.Command, f *flags, ff *forceFlags) error {
	out := cmd.OutOrStdout()
	if ff.timeout <= 0 {
		return cli.Exit(cli.Usage, fmt.Errorf("--timeout %v: give a time above 0", ff.timeout))
	}
	if !ff.yes && !ff.dry && !term.IsTerminal(int(os.Stdin.Fd())) {
		return cli.Exit(cli.Failure, errors.New("this command must be run interactively; in scripts give --yes or --dry-run"))
	}
	cfg, err := loadConfig(f.config)
	if err != nil {
		return cli.Exit(cli.Config, err)
	}
	if len(cfg.Sources) == 0 {
		return cli.Exit(cli.Config, fmt.Errorf("%s configures no sources to ask", cfg.Pos.File))
	}
	fmt.Fprintln(out, "Determining current time...")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, ff.timeout)
	defer cancel()
	m, err := measure(ctx, cfg)
	if err != nil {
		return cli.Exit(cli.Failure, err)
	}
	return (&correction{out: out, in: os.Stdin, step: stepClock, now: time.Now}).propose(m, ff)
}

// measured is how far off the system's clock is.
type measured struct {
	offset, sigma       proto.Duration // true time minus clock
	sources, configured int
}

// correction puts the clock right, or not.
type correction struct {
	out  io.Writer
	in   io.Reader
	step func(proto.Duration) error
	now  func() time.Time
}

func (c *correction) propose(m measured, ff *forceFlags) error {
	fmt.Fprintf(c.out, "%d of %d sources agree: the clock is %s (±%s)\n", m.sources, m.configured, fastOrSlow(m.offset.Seconds()), observe.Magnitude(m.sigma.Seconds()))
	if m.offset.Abs() < closeEnough {
		fmt.Fprintln(c.out, "Your clock is already within 1s of the correct time")
		return nil
	}
	now := c.now()
	direction := "behind"
	if m.offset < 0 {
		direction = "ahead"
	}
	fmt.Fprintf(c.out, "The current local time is %s\n", now.Format(time.RFC1123Z))
	fmt.Fprintf(c.out, "It looks like the time should be %s\n", now.Add(m.offset.Std()).Format(time.RFC1123Z))
	fmt.Fprintf(c.out, "The local clock is %s by %s\n", direction, span(m.offset.Abs().Seconds()))
	if ff.dry {
		fmt.Fprintln(c.out, "Time not updated (--dry-run)")
		return nil
	}
	if !ff.yes {
		fmt.Fprintln(c.out, "Please validate externally that this time is correct")
		fmt.Fprint(c.out, "Do you want to update your local clock? [y/N] ")
		answer, err := bufio.NewReader(c.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return cli.Exit(cli.Failure, err)
		}
		if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
			fmt.Fprintln(c.out, "Time not updated")
			return nil
		}
	}
	if err := c.step(m.offset); err != nil {
		code := cli.Failure
		if errors.Is(err, errMayNotStep) {
			code = cli.NoPermission
		}
		return cli.Exit(code, err)
	}
	fmt.Fprintln(c.out, "Time updated successfully")
	return nil
}

// span prints a time in days, hours, minutes and seconds.
func span(seconds float64) string {
	left := int64(math.Round(seconds))
	var parts []string
	for _, u := range []struct {
		name string
		size int64
	}{{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		if n := left / u.size; n > 0 || u.size == 1 && len(parts) == 0 {
			left -= n * u.size
			if u.name += "s"; n == 1 {
				u.name = strings.TrimSuffix(u.name, "s")
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
		}
	}
	return strings.Join(parts, " ")
}

// loadConfig reads the configuration, all of which must be good.
func loadConfig(file string) (*config.Config, error) {
	if file == "" {
		file = config.DefaultPath
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("could not load configuration: %w", cli.Unreadable(err, cli.NameAnother))
	}
	cfg, problems := config.Parse(file, data)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	for _, u := range cfg.Refusals() {
		return nil, errors.New(u.String())
	}
	return cfg, nil
}

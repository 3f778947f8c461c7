// Command ntp-daemon keeps the clock right: it is an NTP and NTS client, an
// NTP server and an NTS key-exchange server, in ntpd-rs' configuration.
package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/apart"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/monitor"
	"github.com/ntpd-go/ntpd-go/internal/version"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == apart.Arg {
		collectSeldom()
		monitor.Calm()
		os.Exit(apart.Main())
	}
	os.Exit(cli.Run(root(), os.Args[1:], os.Stdout, os.Stderr))
}

// flags of the command line. Those of the software clock are for
// demonstrations and tests: they make it begin wrong.
type flags struct {
	config     string
	logLevel   string
	noClock    bool
	privileged bool // keep all privileges
	together   bool // no process of its own for the key exchange
	offset     time.Duration
	drift      float64 // ppm
	record     string  // a new file for a recording
}

func root() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:     "ntp-daemon",
		Short:   "Synchronise the clock with NTP and NTS servers, and serve time to others",
		Example: "  ntp-daemon -c /etc/ntpd-rs/ntp.toml",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return start(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.config, "config", "c", "", "configuration file (default "+config.DefaultPath+")")
	fs.StringVarP(&f.logLevel, "log-level", "l", "", "trace, debug, info, warn or error; overrides the configuration")
	fs.BoolVar(&f.noClock, "no-clock", false, "leave the system's clock alone and steer a clock in user space, as update-system-clock = false does")
	fs.StringVar(&f.record, "record", "", "record in a new file what the clock is told and does, without keys and cookies, to be replayed; ends at 256 MiB")
	fs.BoolVar(&f.privileged, "keep-privileges", false, "keep capabilities and access to all files after the start")
	fs.BoolVar(&f.together, "one-process", false, "serve key exchanges in this process, not in one of their own without privileges")
	fs.DurationVar(&f.offset, "software-clock-offset", 0, "begin with the software clock this far off")
	fs.Float64Var(&f.drift, "software-clock-drift", 0, "let the software clock begin this fast, in ppm")
	_ = fs.MarkHidden("software-clock-offset") // only fails for a flag that does not exist
	_ = fs.MarkHidden("software-clock-drift")
	cli.Version(cmd, version.Release)
	return cmd
}

// Command ntp-metrics-exporter serves what the daemon says over its
// observation socket as metrics for Prometheus. It needs no privileges.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/logging"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/configfile"
	"github.com/ntpd-go/ntpd-go/internal/version"
)

func main() { os.Exit(cli.Run(root(), os.Args[1:], os.Stdout, os.Stderr)) }

func root() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "ntp-metrics-exporter",
		Short: "Serve the daemon's metrics to Prometheus",
		Long: `Serve what ntp-daemon says over its observation socket as metrics for Prometheus, at
metrics-exporter-listen of [observability] (127.0.0.1:9975 unless written). SIGHUP opens log-path-metrics-exporter anew.`,
		Example: "  ntp-metrics-exporter -c /etc/ntpd-rs/ntp.toml",
		Args:    cli.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(file) },
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file of the daemon (default "+config.DefaultPath+")")
	cli.Version(cmd, version.Release)
	return cmd
}

func run(file string) error {
	cfg, problems, err := configfile.Read(file)
	if err != nil {
		return err
	}
	if err := problems.Err(); err != nil {
		return cli.Exit(cli.Config, fmt.Errorf("there was an error loading the config: %w", err))
	}
	o := &cfg.Observability
	if o.ObservationPath == "" {
		return cli.Exit(cli.Failure, fmt.Errorf("%s switches the observation socket off (observation-path = \"\"): there is nothing to export", cfg.Pos.File))
	}
	level, err := logging.ParseLevel(o.LogLevel)
	if err != nil {
		return cli.Exit(cli.Config, err)
	}
	log, err := logging.Open(logging.Options{
		Level: level, Path: o.LogPathMetricsExporter, Colours: o.ANSIColors, Journal: logging.UnderJournal(os.Getenv("JOURNAL_STREAM")),
	})
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	defer log.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go reopen(ctx, log, hangup)
	e := &exporter{socket: o.ObservationPath, listen: o.MetricsExporterListen, log: log.Logger, strange: log.Limited(), notify: os.Getenv("NOTIFY_SOCKET")}
	return e.run(ctx)
}

// reopen opens the log file anew at every SIGHUP.
func reopen(ctx context.Context, log *logging.Log, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := log.Reopen(); err != nil {
				log.Error("could not open the log file anew", "code", "log-file", "error", err)
			}
		}
	}
}

// Command nts-pool-ke is a key-exchange server that makes many NTS servers
// look like one: every client that asks it is sent to one of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/logging"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/version"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/nts/pool"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int { return cli.Run(root(), args, os.Stdout, os.Stderr) }

type flags struct {
	config string
	level  string
}

func root() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:   "nts-pool-ke -c FILE",
		Short: "Make many NTS servers look like one",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration file (pool.toml)")
	cmd.Flags().StringVarP(&f.level, "log-level", "l", "", "trace, debug, info, warn or error, instead of the configured level")
	cli.Version(cmd, version.Release)
	return cmd
}

func (f *flags) run(ctx context.Context) error {
	if f.config == "" {
		return cli.Exit(cli.Config, errors.New("no configuration path specified; name the file with -c FILE"))
	}
	if ctx == nil {
		ctx = context.Background()
	}
	cfg, err := readConfig(f.config)
	if err != nil {
		return cli.Exit(cli.Config, err)
	}
	if f.level == "" {
		f.level = cfg.LogLevel
	}
	log, err := openLog(f.level)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		log.Warn(w.String())
	}
	files, err := newFiles(cfg, log.Logger)
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	listener, err := ke.Listen(ctx, cfg.Listen.String())
	if err != nil {
		return cli.ListenError(cfg.At("listen").String(), "NTS key exchange", cfg.Listen, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go files.reloadOnHangup(ctx)
	return serve(ctx, cfg, files, listener, log)
}

// openLog logs to standard output, like the daemon.
func openLog(name string) (*logging.Log, error) {
	level, err := logging.ParseLevel(name)
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	log, err := logging.Open(logging.Options{Level: level, Journal: logging.UnderJournal(os.Getenv("JOURNAL_STREAM"))})
	if err != nil {
		return nil, cli.Exit(cli.Software, err)
	}
	return log, nil
}

func readConfig(path string) (*config.PoolConfig, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("there was an error loading the config: %w", cli.Absolute(err))
	}
	cfg, problems := config.ParsePool(path, content)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("there was an error loading the config: %w", err)
	}
	return cfg, nil
}

func serve(ctx context.Context, cfg *config.PoolConfig, files *files, listener net.Listener, log *logging.Log) error {
	sources := make([]pool.Source, 0, len(cfg.KeyExchangeServers))
	for _, s := range cfg.KeyExchangeServers {
		sources = append(sources, pool.Source{Domain: s.Domain, Port: s.Port, Weight: 1})
	}
	p, err := pool.New(pool.Config{
		Listener: listener,
		TLS:      files.serverConfig,
		Roots:    files.roots,
		Client:   &ke.Client{Certificate: files.certificate},
		Sources:  sources,
		Timeout:  cfg.KeyExchangeTimeout,
		Log:      log.Logger,
		Strange:  log.Limited(),
	})
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	if err := p.Serve(ctx); err != nil {
		return cli.Exit(cli.Software, fmt.Errorf("abnormal termination of the pool: %w", err))
	}
	return nil
}

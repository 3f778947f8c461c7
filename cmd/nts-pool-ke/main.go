// Command nts-pool-ke is a key-exchange server that makes many NTS servers
// look like one: every client that asks it is sent to one of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ntpd-go/ntpd-go/daemon/config"
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
	loggers, err := newLoggers(os.Stderr, f.level)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	for _, w := range cfg.Warnings {
		loggers.log.Warn(w.String())
	}
	files, err := newFiles(cfg, loggers.log)
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	listener, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go files.reloadOnHangup(ctx)
	return serve(ctx, cfg, files, listener, loggers)
}

func readConfig(path string) (*config.PoolConfig, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("there was an error loading the config: %w", err)
	}
	cfg, problems := config.ParsePool(path, content)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("there was an error loading the config: %w", err)
	}
	return cfg, nil
}

// listen opens the port, or says who must do what.
func listen(ctx context.Context, cfg *config.PoolConfig) (net.Listener, error) {
	listener, err := ke.Listen(ctx, cfg.Listen.String())
	at := cfg.At("listen")
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, cli.Exit(cli.NoPermission, fmt.Errorf("cannot listen on %v (%v): permission denied; ports below 1024 need CAP_NET_BIND_SERVICE", cfg.Listen, at))
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, cli.Exit(cli.Software, fmt.Errorf("cannot listen on %v (%v): another program has this port; stop it or choose another", cfg.Listen, at))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, cli.Exit(cli.Software, fmt.Errorf("cannot listen on %v (%v): this machine does not have the address; use one that it has", cfg.Listen, at))
	default:
		return nil, cli.Exit(cli.Software, fmt.Errorf("cannot listen on %v (%v): %w", cfg.Listen, at, err))
	}
}

func serve(ctx context.Context, cfg *config.PoolConfig, files *files, listener net.Listener, l loggers) error {
	sources := make([]pool.Source, 0, len(cfg.KeyExchangeServers))
	for _, s := range cfg.KeyExchangeServers {
		sources = append(sources, pool.Source{Domain: s.Domain, Port: s.Port})
	}
	p, err := pool.New(pool.Config{
		Listener: listener,
		TLS:      files.serverConfig,
		Roots:    files.roots,
		Client:   &ke.Client{Certificate: files.certificate},
		Sources:  sources,
		Timeout:  cfg.KeyExchangeTimeout,
		Log:      l.log,
		Strange:  l.strange,
	})
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	if err := p.Serve(ctx); err != nil {
		return cli.Exit(cli.Software, fmt.Errorf("abnormal termination of the pool: %w", err))
	}
	return nil
}

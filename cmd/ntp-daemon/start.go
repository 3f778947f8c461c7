package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon"
	"github.com/ntpd-go/ntpd-go/daemon/activation"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/logging"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/proto"
)

// start reads the configuration, picks the clock and runs the daemon until a
// signal ends it.
func start(ctx context.Context, f *flags) error {
	if ctx == nil {
		ctx = context.Background()
	}
	outliveReaders()
	handed, err := activation.Take(os.Getenv, os.Getpid())
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	for _, name := range activation.Variables {
		_ = os.Unsetenv(name) // it is for this process alone
	}
	cfg, notes, err := load(f.config)
	if err != nil {
		return cli.Exit(cli.Config, err)
	}
	if f.together && len(cfg.NTSKEServers) > 0 {
		collectSeldom()
	}
	workers := setProcessors(cfg)
	log, err := openLog(cfg, f.logLevel)
	if err != nil {
		return err
	}
	defer log.Close()
	for _, n := range notes {
		log.Warn(n, "code", "config-warning")
	}
	if err := announce(cfg, log.Logger); err != nil {
		return err
	}
	reload := make(chan struct{}, 1)
	// From before the clock is touched until it is left alone.
	ctx, stop := withSignals(ctx, log, reload)
	defer stop()
	clk, name, err := openClock(cfg, f)
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	defer closeClock(clk, log.Logger)
	text, err := recorded(f)
	if err != nil {
		return err
	}
	return daemon.Run(ctx, daemon.Options{
		Record: f.record, Text: text,
		Apart:   program(f),
		Handed:  handed,
		Confine: confiner(cfg, f, name, handed, log.Logger),
		Workers: workers,
		Config:  cfg, Clock: clk, ClockName: name, Log: log.Logger, Strange: log.Limited(), Notify: os.Getenv("NOTIFY_SOCKET"),
		Load: func(added string) (*config.Config, error) { return reread(f.config, added) }, Reload: reload,
	})
}

// load reads the configuration file: the one that is named, else the default
// one, else none. Notes are for the log, which is not open yet.
func load(path string) (cfg *config.Config, notes []string, err error) {
	explicit := path != ""
	if !explicit {
		path = config.DefaultPath
	}
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
	case !explicit && errors.Is(err, fs.ErrNotExist):
		return config.Default(), nil, nil
	case !explicit && errors.Is(err, fs.ErrPermission):
		return config.Default(), []string{"could not read " + path + ": permission denied; running without a configuration"}, nil
	default:
		return nil, nil, fmt.Errorf("there was an error loading the config: %w", cli.Unreadable(err, cli.NameAnother))
	}
	cfg, problems := config.Parse(path, data)
	if err := problems.Err(); err != nil {
		return nil, nil, fmt.Errorf("there was an error loading the config: %w", err)
	}
	if info, err := os.Stat(path); err == nil {
		if w, open := config.ModeWarning(path, uint32(info.Mode().Perm())); open {
			notes = append(notes, w.String())
		}
	}
	return cfg, notes, nil
}

// recorded is the configuration file as a recording needs it, nothing without
// a recording.
func recorded(f *flags) ([]byte, error) {
	if f.record == "" {
		return nil, nil
	}
	path := f.config
	if path == "" {
		path = config.DefaultPath
	}
	text, err := os.ReadFile(path)
	if err != nil && (f.config != "" || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)) {
		return nil, cli.Exit(cli.Config, fmt.Errorf("--record: %w", err))
	}
	return text, nil
}

// reread reads the configuration file again, with more text behind it. What
// would keep the daemon from starting is an error here too.
func reread(path, more string) (*config.Config, error) {
	if path == "" {
		path = config.DefaultPath
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, cli.Absolute(err)
	}
	cfg, problems := config.Parse(path, append(append(data, '\n'), more...))
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return cfg, refuse(cfg)
}

// announce logs what is to be said about the configuration and refuses one
// that this version would have to misread.
func announce(cfg *config.Config, log *slog.Logger) error {
	for _, w := range cfg.Warnings {
		if w.Info {
			log.Info(w.String())
		} else {
			log.Warn(w.String(), "code", "config-warning")
		}
	}
	for _, u := range cfg.Unbuilt {
		if !u.Effect.Refuses() {
			log.Warn(u.String(), "code", "config-warning")
		}
	}
	if err := refuse(cfg); err != nil {
		return cli.Exit(cli.Config, err)
	}
	return nil
}

// refuse is an error for everything that this version would have to misread.
func refuse(cfg *config.Config) error {
	var errs []error
	for _, u := range cfg.Refusals() {
		errs = append(errs, errors.New(u.String()))
	}
	return errors.Join(errs...)
}

// openLog sets up logging as the configuration and the command line say.
func openLog(cfg *config.Config, override string) (*logging.Log, error) {
	o := &cfg.Observability
	name := o.LogLevel
	if override != "" {
		name = override
	}
	level, err := logging.ParseLevel(name)
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	log, err := logging.Open(logging.Options{
		Level: level, Path: o.LogPath, Colours: o.ANSIColors, Journal: logging.UnderJournal(os.Getenv("JOURNAL_STREAM")),
	})
	if err != nil {
		return nil, cli.Exit(cli.Software, err)
	}
	if override != "" && override != o.LogLevel {
		log.Info("the log level of the command line overrides the configuration", "level", override)
	}
	return log, nil
}

// openClock picks the clock. Without sources nothing is ever steered, and the
// system's clock is only read.
func openClock(cfg *config.Config, f *flags) (clock.Clock, string, error) {
	if f.noClock || !cfg.Synchronization.UpdateSystemClock {
		c, err := clock.NewSoftware(clock.SoftwareOptions{Offset: proto.FromStd(f.offset), Frequency: f.drift * 1e-6})
		return c, daemon.ClockSoftware, err
	}
	if len(cfg.Sources) == 0 {
		return clock.NewReadOnly(), daemon.ClockSystem, nil
	}
	c, err := clock.NewSystem()
	return c, daemon.ClockSystem, err
}

func closeClock(c clock.Clock, log *slog.Logger) {
	if err := c.Close(); err != nil {
		log.Warn("could not leave the clock at its base frequency", "code", "clock-not-left", "error", err)
	}
}

// self is this program, even when another has taken its place in the file
// system.
const self = "/proc/self/exe"

// program is what serves key exchanges in a process of its own, or nothing.
func program(f *flags) string {
	if f.together {
		return ""
	}
	return self
}

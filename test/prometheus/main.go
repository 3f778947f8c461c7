// Command prometheus tests what is shipped for Prometheus and Grafana against
// a real Prometheus: the alert rules with promtool, and every expression of
// the rules and the dashboard against a server that scrapes a daemon. It
// installs Debian's package "prometheus" and leaves no service running.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

func main() {
	lab.Hook()
	bin := flag.String("bin", "bin", "folder with ntp-daemon, ntp-ctl and ntp-metrics-exporter")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := run(ctx, *bin); err != nil {
		fmt.Fprintln(os.Stderr, "prometheus:", err)
		os.Exit(1)
	}
}

// run does one step after the other and prints a line for each.
func run(ctx context.Context, bin string) error {
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	if err := install(say); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"check", "rules", rulesFile},
		{"check", "config", configFile},
		{"test", "rules", rulesTestFile},
	} {
		out, err := promtool(ctx, args...)
		if err != nil {
			return fmt.Errorf("promtool %v: %w\n%s", args, err, out)
		}
		say("ok    promtool %s %s", args[0], args[1])
	}
	b, err := newBench(ctx, bin)
	if err != nil {
		return err
	}
	defer b.stop()
	return b.check(ctx, say)
}

// Command demo shows the suite at work on one machine, without privileges: two
// NTS servers, a pool in front of them, and a client whose software clock
// begins 250 ms and 30 ppm wrong. It ends well once the client's own NTP
// server, asked from outside, is within a millisecond of the machine's clock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with ntp-daemon, nts-pool-ke and ntp-ctl")
	limit := flag.Duration("limit", 55*time.Second, "give up after this long")
	pool := flag.Bool("pool", true, "start the pool; without it the client cannot find a server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	offset, err := run(ctx, os.Stdout, *bin, *pool)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("not within 1 ms after %v (%w)", *limit, err)
		}
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	fmt.Printf("demo: synchronised, offset %.1f us\n", float64(offset)/float64(time.Microsecond))
}

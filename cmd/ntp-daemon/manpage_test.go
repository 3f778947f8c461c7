package main

import (
	"flag"
	"testing"

	"github.com/ntpd-go/ntpd-go/internal/golden"
	"github.com/ntpd-go/ntpd-go/internal/manpage"
)

var update = flag.Bool("update", false, "write the manual page anew")

// The manual page says what the command's help says.
func TestManualPageIsUpToDate(t *testing.T) {
	page := manpage.Write(root(), 8,
		manpage.Part{Title: "SIGNALS", Text: "SIGHUP reads the configuration, certificates and keys anew, as ntp-ctl reload does. SIGTERM, SIGINT and SIGQUIT end the daemon; the clock keeps its frequency."},
		manpage.ExitStatus, manpage.Part{Title: "FILES", Text: `  /etc/ntpd-rs/ntp.toml              configuration
  /var/run/ntpd-rs/observe           what everybody may know
  /var/run/ntpd-rs/observe-control   commands of root and of the daemon's user
  /var/lib/ntpd-rs/clock.json        what the clock is known by at the next start`},
		manpage.SeeAlso("ntp-ctl(8)", "ntp-metrics-exporter(8)", "adjtimex(2)"),
	)
	golden.Compare(t, *update, "../../docs/man/ntp-daemon.8", page)
}

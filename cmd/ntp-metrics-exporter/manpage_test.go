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
		manpage.ExitStatus, manpage.Part{Title: "FILES", Text: `  /etc/ntpd-rs/ntp.toml              configuration
  /var/run/ntpd-rs/observe           what everybody may know
  /var/run/ntpd-rs/observe-control   commands of root and of the daemon's user
  /var/lib/ntpd-rs/clock.json        what the clock is known by at the next start`},
		manpage.SeeAlso("ntp-daemon(8)", "ntp-ctl(8)"),
	)
	golden.Compare(t, *update, "../../docs/man/ntp-metrics-exporter.8", page)
}

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
		manpage.ExitStatus,
		manpage.SeeAlso("ntp-daemon(8)", "ntp-ctl(8)"),
	)
	golden.Compare(t, *update, "../../docs/man/nts-pool-ke.8", page)
}

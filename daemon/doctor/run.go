package doctor

import (
	"context"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
)

// Options says what to look at.
type Options struct {
	Config  string // the file
	User    string // who runs the daemon, where that cannot be seen; or empty
	Built   time.Time
	Timeout time.Duration // of one request; 1.5 s if 0
	// CertificateDays is how long certificates should still be valid.
	CertificateDays int
}

// exam is one run. Checks add to the report and leave what later ones need.
type exam struct {
	Options
	ctx     context.Context
	now     time.Time
	report  *Report
	data    []byte         // the configuration as it is written
	cfg     *config.Config // nil when it cannot be used
	machine *machine
	answer  *observe.State // of the running daemon, or nil
	sources []*source
	kernel  kernel // when the exam began
}

// Run makes all checks.
func Run(ctx context.Context, o Options) *Report {
	if o.Timeout <= 0 {
		o.Timeout = 1500 * time.Millisecond
	}
	e := &exam{Options: o, ctx: ctx, now: time.Now(), report: &Report{Schema: Schema, Lines: []Line{}}}
	e.machine = lookAround()
	e.kernel = readKernel()
	e.configuration()
	if e.cfg == nil {
		e.system()
		return e.report
	}
	e.configured()
	e.running()
	e.files()
	e.system()
	e.ports()
	e.probe() // asks the network; what follows judges the answers
	e.names()
	e.network()
	e.interception()
	e.clockAgainstSources()
	e.judgeSources()
	e.quorum()
	e.operators()
	e.served()
	e.steering()
	e.daemon()
	return e.report
}

func (e *exam) ok(check, subject, measured string) {
	e.report.add(Line{Check: check, Subject: subject, Measured: measured})
}

func (e *exam) warn(check, subject, measured, expected, fix string) {
	e.report.add(Line{check, subject, Warn, measured, expected, fix})
}

func (e *exam) fail(check, subject, measured, expected, fix string) {
	e.report.add(Line{check, subject, Fail, measured, expected, fix})
}

package daemon

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// Where the clock that is steered is not the machine's, the machine's may be
// wrong for ever.
func TestCertificatesAreJudgedByTheClockThatIsSteered(t *testing.T) {
	const days = 24 * time.Hour
	ca, now := testcert.NewCA(t), time.Now()
	present := keyServerFor(t, ca, "127.0.0.1", testcert.Valid(now.Add(-days), now.Add(days)))
	later := keyServerFor(t, ca, "127.0.0.1", testcert.Valid(now.Add(39*days), now.Add(41*days)))
	var f atomic.Pointer[files]
	f.Store(&files{roots: map[string]*x509.CertPool{"": ca.Pool()}})
	for _, c := range []struct {
		ahead time.Duration
		port  uint16
		good  bool
	}{{0, present, true}, {0, later, false}, {40 * days, present, false}, {40 * days, later, true}} {
		own, err := clock.NewSoftware(clock.SoftwareOptions{Offset: proto.FromStd(c.ahead)})
		if err != nil {
			t.Fatal(err)
		}
		ev := exchanger(&f, newProxies(&config.Config{}), own)(t.Context(), engine.ExchangeKeys{Host: "127.0.0.1", Port: c.port})
		failed, bad := ev.(engine.KeyExchangeFailed)
		if bad == c.good || bad && failed.Failure.Class != engine.ClassCertExpired {
			t.Errorf("%v ahead: %+v", c.ahead, ev)
		}
	}
}

// stopped is a clock that cannot be read.
type stopped struct{ clock.Clock }

func (stopped) Now() (proto.Timestamp, error) { return 0, errors.New("it stands still") }

func TestCalendarIsThatOfTheClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, ahead := range []time.Duration{-50 * year, -time.Hour, 0, 60 * year} {
		own, err := clock.NewSoftware(clock.SoftwareOptions{Offset: proto.FromStd(ahead)})
		if err != nil {
			t.Fatal(err)
		}
		if got := calendar(own)(); time.Since(got.Add(-ahead)).Abs() > time.Minute {
			t.Errorf("%v ahead: %v", ahead, got)
		}
	}
	if got := calendar(stopped{})(); time.Since(got).Abs() > time.Minute {
		t.Errorf("a clock that cannot be read shows %v", got)
	}
}

// RFC 8915 section 4.1.3: Errors 0 and 1 are not to be met with the same request
// again, Error 2 may be. The engine has to know which it was.
func TestExchangeFailureTellsTheErrorsApart(t *testing.T) {
	for _, test := range []struct {
		err  error
		want engine.Class
	}{
		{&ke.Error{Class: ke.ClassServerError, Code: nts.UnrecognizedCriticalRecord}, engine.ClassRejected},
		{&ke.Error{Class: ke.ClassServerError, Code: nts.BadRequest}, engine.ClassBadRequest},
		{&ke.Error{Class: ke.ClassServerError, Code: nts.InternalServerError}, engine.ClassRemote},
		{&ke.Error{Class: ke.ClassServerError, Code: 4711}, engine.ClassRemote},
		{fmt.Errorf("exchange: %w", &ke.Error{Class: ke.ClassTimeout}), engine.ClassTimeout},
		{&ke.Error{Class: ke.ClassNoOverlap}, engine.ClassNoOverlap},
		{errors.New("anything else"), engine.ClassOther},
	} {
		if got := exchangeFailure(test.err); got.Class != test.want || got.Text == "" {
			t.Errorf("%v: %+v, want %s", test.err, got, test.want)
		}
	}
}

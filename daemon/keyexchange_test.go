package daemon

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

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

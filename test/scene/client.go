package scene

import (
	"fmt"
	"math"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// NTS is a source of a client's configuration.
func NTS(name string) string {
	return fmt.Sprintf("[[source]]\nmode = \"nts\"\naddress = %q\ncertificate-authority = \"/run/lab/ca.pem\"\n", name)
}

// Synchronised waits until a client follows somebody.
func (t *Trial) Synchronised(d *Daemon, within time.Duration) State {
	var s State
	t.Eventually(within, func() error {
		if ended, err := d.Exited(); ended {
			return lab.Final{Err: fmt.Errorf("the client ended (%v): %s", err, d.Tail(3))}
		}
		var err error
		if s, err = d.State(); err != nil {
			return err
		}
		if !s.Own.Synchronised {
			err = fmt.Errorf("not synchronised: %s", s.Own.Text)
		}
		return err
	})
	return s
}

// Unmoved reports a clock that was moved although all honest servers agree with it.
func (d *Daemon) Unmoved(bound float64) error {
	s, err := d.State()
	if err != nil {
		return err
	}
	if s.System.AccumulatedSteps > bound || s.Own.Offset != nil && math.Abs(*s.Own.Offset) > bound {
		return fmt.Errorf("the clock was moved: offset %v s, steps of %v s", *s.Own.Offset, s.System.AccumulatedSteps)
	}
	return nil
}

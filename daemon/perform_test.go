package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// RFC 8915 section 4.1.7: a name in a Server record is treated as a FQDN, "by
// making sure it ends with a dot", so that no search domain applies to it.
func TestAServerRecordIsLookedUpWithoutSearchDomains(t *testing.T) {
	for _, tt := range []struct {
		a    engine.Lookup
		want string
	}{
		{engine.Lookup{Host: "time", Absolute: true}, "time."},
		{engine.Lookup{Host: "time.example.", Absolute: true}, "time.example."},
		{engine.Lookup{Host: "2001:db8::1", Absolute: true}, "2001:db8::1"},
		{engine.Lookup{Host: "time"}, "time"}, // the operator's own words
	} {
		var asked string
		l := &loop{
			events: make(chan engine.Event, 1),
			lookup: func(_ context.Context, host string, _ engine.Route) ([]netip.Addr, error) {
				asked = host
				return nil, nil
			},
		}
		l.resolve(t.Context(), tt.a)
		if asked != tt.want {
			t.Errorf("%+v: looked up %q, want %q", tt.a, asked, tt.want)
		}
	}
}

// That a panic will be forgotten is said where it cannot be saved.
func TestAPanicThatIsNotSavedIsSaid(t *testing.T) {
	for _, panicked := range []bool{false, true} {
		var log bytes.Buffer
		l := &loop{log: slog.New(slog.NewTextHandler(&log, nil)), save: func(engine.State) error { return errors.New("no space left on device") }}
		if err := l.perform(t.Context(), engine.Save{State: engine.State{Panicked: panicked}}); err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(log.String(), "will not know that the daemon stopped"); said != panicked || !strings.Contains(log.String(), "code=state-not-saved") {
			t.Errorf("panicked %v: %s", panicked, log.String())
		}
	}
}

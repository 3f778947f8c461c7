package daemon

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ntpd-go/ntpd-go/proto/engine"
)

func TestFailuresAreOneShortLine(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"no route to host (check the routes)", "no route to host (check the routes)"},
		{"one\ntwo\r\x1b[31mred\x00\u0085\u2028\u202e\u00a0", "one?two??[31mred?????"},
		{"größer als \xff", "größer als \ufffd"},
		{strings.Repeat("a", longestFailure), strings.Repeat("a", longestFailure)},
		{strings.Repeat("a", longestFailure+1), strings.Repeat("a", longestFailure-3) + "..."},
		{strings.Repeat("€", longestFailure), strings.Repeat("€", (longestFailure-3)/3) + "..."},
	} {
		if got := line(tt.in); got != tt.want || len(got) > longestFailure || !utf8.ValidString(got) {
			t.Errorf("%.40q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestEveryFailureIsTidied finds the events that carry a failure by themselves.
func TestEveryFailureIsTidied(t *testing.T) {
	events := []engine.Event{
		engine.Sent{}, engine.Received{}, engine.SendFailed{}, engine.LookedUp{}, engine.Located{}, engine.KeysEstablished{},
		engine.KeyExchangeFailed{}, engine.Referenced{}, engine.ReferenceLost{}, engine.SteerApplied{},
		engine.SteerFailed{}, engine.Jumped{}, engine.NetworkChanged{},
	}
	for _, ev := range events {
		v := reflect.New(reflect.TypeOf(ev)).Elem()
		f := v.FieldByName("Failure")
		if !f.IsValid() {
			if got := tidy(ev); !reflect.DeepEqual(got, ev) {
				t.Errorf("%T became %+v", ev, got)
			}
			continue
		}
		f.Set(reflect.ValueOf(engine.Failure{Class: engine.ClassProtocol, Text: strings.Repeat("\x1b", 10_000)}))
		got := reflect.ValueOf(tidy(v.Interface().(engine.Event))).FieldByName("Failure").Interface().(engine.Failure)
		if got.Class != engine.ClassProtocol || len(got.Text) != longestFailure || strings.Contains(got.Text, "\x1b") {
			t.Errorf("%T: %d octets: %.20q", ev, len(got.Text), got.Text)
		}
	}
}

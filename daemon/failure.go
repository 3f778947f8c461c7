package daemon

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// longestFailure is the longest text of a failure in octets.
const longestFailure = 512

// tidy bounds what an event says about a failure. The text goes to the log and
// to the observation socket, and a server may have had its say in it.
func tidy(ev engine.Event) engine.Event {
	switch ev := ev.(type) {
	case engine.LookedUp:
		ev.Failure.Text = line(ev.Failure.Text)
		return ev
	case engine.Located:
		ev.Failure.Text = line(ev.Failure.Text)
		return ev
	case engine.KeyExchangeFailed:
		ev.Failure.Text = line(ev.Failure.Text)
		return ev
	case engine.SendFailed:
		ev.Failure.Text = line(ev.Failure.Text)
		return ev
	case engine.ReferenceLost:
		ev.Failure.Text = line(ev.Failure.Text)
		return ev
	case engine.SteerFailed:
		ev.Failure.Text = line(ev.Failure.Text)
		return ev
	default:
		return ev
	}
}

// line makes a text one printable line of at most longestFailure octets.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) <= longestFailure {
		return s
	}
	const more = "..."
	cut := longestFailure - len(more)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}

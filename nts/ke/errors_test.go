package ke

import (
	"errors"
	"strings"
	"testing"
)

func TestErrorsAreOneShortLine(t *testing.T) {
	e := Error{Host: "ke.test", Port: 4460, What: "TLS handshake", Err: errors.New("a\nb\x1b[2J\u0085\u202e" + strings.Repeat("€", 100_000)), Hint: "do this"}
	got := e.Error()
	if want := "key exchange with ke.test:4460: TLS handshake: a?b?[2J??€"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "€...; do this") {
		t.Errorf("got %.100q", got)
	}
	if n := strings.Count(got, "€"); n != longestCause-len("a?b?[2J??") {
		t.Errorf("%d runes of the cause", n)
	}
}

package ke

import (
	"errors"
	"net"
	"strings"
	"syscall"
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

// The remedy fits the cause: a name is doubted only where a name server says
// that there is none.
func TestRemedyFitsTheCause(t *testing.T) {
	for _, c := range []struct {
		err   error
		class Class
		want  string
	}{
		{&net.DNSError{Err: "no such host", IsNotFound: true}, ClassDNS, "check the spelling of the name"},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, ClassDNS, "no name server answered; check the network and the resolver"},
		{&net.DNSError{Err: "dial udp: connect: network is unreachable"}, ClassDNS, "check the network and the name servers in /etc/resolv.conf"},
		{syscall.ENETUNREACH, ClassNetwork, "check the network connection of this machine"},
		{syscall.EHOSTUNREACH, ClassNetwork, "check the network connection of this machine"},
		{syscall.ECONNRESET, ClassNetwork, ""},
	} {
		if got := networkError("connect", c.err); got.Class != c.class || got.Hint != c.want {
			t.Errorf("%v: class %v, hint %q; want %v, %q", c.err, got.Class, got.Hint, c.class, c.want)
		}
	}
}

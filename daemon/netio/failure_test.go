package netio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/proto/engine"
)

func TestFailureClasses(t *testing.T) {
	to := netip.MustParseAddrPort("192.0.2.1:123")
	call := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("connect", errno)}
	}
	for _, tt := range []struct {
		err  error
		want engine.Failure
	}{
		{nil, engine.Failure{}},
		{answerError(to, call(syscall.ECONNREFUSED)), engine.Failure{Class: engine.ClassRefused, Text: "no answer from 192.0.2.1:123: connection refused (nothing listens there)"}},
		{answerError(to, syscall.EHOSTUNREACH), engine.Failure{Class: engine.ClassNetwork, Text: "no answer from 192.0.2.1:123: no route to host (check the network connection and the routes)"}},
		{call(syscall.ENETUNREACH), engine.Failure{Class: engine.ClassNetwork}},
		{call(syscall.ENETDOWN), engine.Failure{Class: engine.ClassNetwork}},
		{call(syscall.EPERM), engine.Failure{Class: engine.ClassNetwork}},
		{call(syscall.EMFILE), engine.Failure{Class: engine.ClassOther}},
		{call(syscall.EIO), engine.Failure{Class: engine.ClassOther}},
		{context.DeadlineExceeded, engine.Failure{Class: engine.ClassTimeout}},
		{call(syscall.ETIMEDOUT), engine.Failure{Class: engine.ClassTimeout}},
		{os.ErrDeadlineExceeded, engine.Failure{Class: engine.ClassTimeout}},
		{fmt.Errorf("x: %w", ErrNotSupported), engine.Failure{Class: engine.ClassNotSupported}},
		{fmt.Errorf("%w to x", ErrNoRoute), engine.Failure{Class: engine.ClassNetwork}},
		{lookupError("x", context.DeadlineExceeded), engine.Failure{Class: engine.ClassDNS}},
		{answerError(to, &net.OpError{Op: "read", Err: errors.New("odd")}), engine.Failure{Class: engine.ClassOther, Text: "no answer from 192.0.2.1:123: odd"}},
		{errors.New("surprise"), engine.Failure{Class: engine.ClassOther, Text: "surprise"}},
	} {
		got := Failure(tt.err)
		if got.Class != tt.want.Class || tt.want.Text != "" && got.Text != tt.want.Text {
			t.Errorf("%v: got %+v, want %+v", tt.err, got, tt.want)
		}
		if strings.Contains(got.Text, "\n") {
			t.Errorf("%v: more than a line: %q", tt.err, got.Text)
		}
	}
}

func TestLookupErrorsSayWhy(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{IsNotFound: true}, `could not resolve "a.test": there is no such name, or it has no address`},
		{&net.DNSError{IsTimeout: true, Server: "192.0.2.53:53"}, `could not resolve "a.test": the name server does not answer`},
		{&net.DNSError{Err: "server misbehaving", Server: "192.0.2.53:53"}, `could not resolve "a.test": server misbehaving, says 192.0.2.53:53`},
		{&net.DNSError{Err: "no such thing"}, `could not resolve "a.test": no such thing`},
		{context.Canceled, `could not resolve "a.test": context canceled`},
	} {
		err := lookupError("a.test", tt.err)
		if err.Error() != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("got %v, want %v", err, tt.want)
		}
	}
}

func TestLookup(t *testing.T) {
	r := Resolver{Reachable: func(a netip.Addr) bool { return a != netip.MustParseAddr("192.0.2.9") }}
	for _, tt := range []struct {
		host  string
		route engine.Route
		want  string
		class engine.Class
	}{
		{host: "192.0.2.1", want: "[192.0.2.1]"},
		{host: "::ffff:192.0.2.1", want: "[192.0.2.1]"},
		{host: "2001:db8::1", want: "[2001:db8::1]"},
		{host: "fe80::1%lo", want: "[fe80::1%lo]"},
		{host: "192.0.2.9", class: engine.ClassNetwork},
		{host: "192.0.2.1", route: engine.Route{Proxy: "socks5://[::1]:1"}, class: engine.ClassNotSupported},
		{host: "192.0.2.1", route: engine.Route{Family: engine.IPv6}, class: engine.ClassDNS},
		{host: "2001:db8::1", route: engine.Route{Family: engine.IPv4}, class: engine.ClassDNS},
		{host: "::ffff:192.0.2.1", route: engine.Route{Family: engine.IPv4}, want: "[192.0.2.1]"},
		{host: "localhost", route: engine.Route{Family: engine.IPv4}, want: "[127.0.0.1]"}, // by /etc/hosts
		{host: "", class: engine.ClassDNS},
		{host: "bad name", class: engine.ClassDNS},
	} {
		addrs, err := r.Lookup(t.Context(), tt.host, tt.route)
		if err != nil {
			if f := Failure(err); f.Class != tt.class || !strings.Contains(f.Text, fmt.Sprintf("%q", tt.host)) {
				t.Errorf("%q %+v: %+v, want class %q and the name", tt.host, tt.route, f, tt.class)
			}
		} else if got := fmt.Sprint(addrs); got != tt.want {
			t.Errorf("%q %+v: %s, want %s", tt.host, tt.route, got, tt.want)
		}
	}
}

func TestLookupLeavesOutWhatIsOutOfReach(t *testing.T) {
	if addrs, err := (Resolver{}).Lookup(t.Context(), "127.0.0.1", engine.Route{}); err != nil || len(addrs) != 1 {
		t.Errorf("%v, %v", addrs, err)
	}
	_, err := Resolver{}.Lookup(t.Context(), "fe80::1%nosuch0", engine.Route{})
	if !errors.Is(err, ErrNoRoute) || !strings.Contains(err.Error(), "fe80::1%nosuch0") {
		t.Errorf("got %v", err)
	}
}

// TestLookupEndsWithItsContext asks a name server that does not answer.
func TestLookupEndsWithItsContext(t *testing.T) {
	// Package net keeps what it knows of the system's resolver behind a channel
	// that it makes once: not in a bubble, the other tests are outside.
	_, _ = net.DefaultResolver.LookupHost(t.Context(), "localhost")
	synctest.Test(t, func(t *testing.T) {
		silent := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Resolver{Net: silent}.Lookup(ctx, "silent.test", engine.Route{})
		if f := Failure(err); f.Class != engine.ClassDNS {
			t.Errorf("got %+v", f)
		}
	})
}

func TestReachable(t *testing.T) {
	if !Reachable(netip.MustParseAddr("127.0.0.1")) {
		t.Error("127.0.0.1 is out of reach")
	}
	if Reachable(netip.MustParseAddr("fe80::1%nosuch0")) {
		t.Error("an address behind an interface that does not exist is in reach")
	}
}

func TestLocalAddrs(t *testing.T) {
	addrs, err := LocalAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(addrs); i++ {
		if addrs[i-1].Compare(addrs[i]) >= 0 {
			t.Errorf("not sorted, or twice: %v", addrs)
		}
	}
	for _, a := range addrs {
		if a.Is4In6() {
			t.Errorf("%v is IPv4", a)
		}
	}
}

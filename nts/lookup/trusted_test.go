package lookup

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"nothing":              {"", "127.0.0.1:53"},
		"only search":          {"search example.org\n", "127.0.0.1:53"},
		"local":                {"nameserver 127.0.0.53\n", "127.0.0.53:53"},
		"local, IPv6":          {"nameserver ::1\n", "[::1]:53"},
		"local, mapped":        {"nameserver ::ffff:127.0.0.1\n", "[::ffff:127.0.0.1]:53"},
		"elsewhere":            {"nameserver 192.0.2.53\n", ""},
		"both":                 {"nameserver 192.0.2.53\nnameserver 127.0.0.1\n", "127.0.0.1:53"},
		"the way is trusted":   {"nameserver 192.0.2.53\nnameserver fe80::1%eth0\noptions edns0 trust-ad\n", "192.0.2.53:53 [fe80::1%eth0]:53"},
		"options first":        {"options trust-ad\noptions rotate\nnameserver 192.0.2.53", "192.0.2.53:53"},
		"three count":          {strings.Repeat("nameserver 192.0.2.53\n", 3) + "nameserver 127.0.0.1\n", ""},
		"not an option":        {"# options trust-ad\nsearch trust-ad\nnameserver 192.0.2.53\n", ""},
		"another option":       {"options no-trust-ad\nnameserver 192.0.2.53\n", ""},
		"damaged":              {"nameserver\nnameserver x\noptions\nnameserver 192.0.2.53\n", ""},
		"Docker's forwarder":   {"nameserver 127.0.0.11\n", ""},
		"Docker's with a vote": {"nameserver 127.0.0.11\noptions trust-ad\n", "127.0.0.11:53"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Trusted(file)
			var want []netip.AddrPort
			for w := range strings.FieldsSeq(c.want) {
				want = append(want, netip.MustParseAddrPort(w))
			}
			if err != nil || !slices.Equal(got.Addrs, want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	if got, err := Trusted(filepath.Join(t.TempDir(), "missing")); err != nil || len(got.Addrs) != 1 {
		t.Errorf("without a file: %v, %v", got, err)
	}
	if _, err := Trusted(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

package config

import (
	"net/netip"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, a := range []struct {
		text string
		want Address
	}{
		{"time.example", Address{"time.example", 123}},
		{"time.example:4460", Address{"time.example", 4460}},
		{"192.0.2.1", Address{"192.0.2.1", 123}},
		{"192.0.2.1:1234", Address{"192.0.2.1", 1234}},
		{"::1", Address{"::1", 123}},
		{"2001:db8::1:2", Address{"2001:db8::1:2", 123}},
		{"[::1]:1234", Address{"::1", 1234}},
		{"fe80::1%eth0", Address{"fe80::1%eth0", 123}},
		{"localhost:65535", Address{"localhost", 65535}},
	} {
		if got, err := ParseAddress(a.text, 123); err != nil || got != a.want {
			t.Errorf("%q is %v, %v", a.text, got, err)
		}
	}
}

func TestParseAddressInBracketsWithoutPort(t *testing.T) {
	if got, err := ParseAddress("[2001:db8::1]", 4460); err != nil || got != (Address{"2001:db8::1", 4460}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                   `"" has no host`,
		":123":               `":123" has no host`,
		"host:":              `"host:" has no port after the colon`,
		"host:0":             `the port of "host:0" is not a number from 1 to 65535`,
		"host:65536":         `the port of "host:65536" is not a number from 1 to 65535`,
		"host:+1":            `the port of "host:+1" is not a number from 1 to 65535`,
		"host:ntp":           `the port of "host:ntp" is not a number from 1 to 65535`,
		":some:invalid:1":    `":some:invalid:1" has several colons but is not an IPv6 address`,
		"192.0.2.1:1:2":      `"192.0.2.1:1:2" has several colons but is not an IPv6 address`,
		"[::1":               `"[::1" is not an IPv6 address in brackets`,
		"[::1]4460":          `"[::1]4460" is not an IPv6 address in brackets`,
		"[::1]:":             `"[::1]:" has no port after the colon`,
		"[192.0.2.1]:123":    `"[192.0.2.1]:123" is not an IPv6 address in brackets`,
		"[host]:123":         `"[host]:123" is not an IPv6 address in brackets`,
		"https://host":       `"https://host" is not an address: it has a space or a slash in it`,
		" host":              `" host" is not an address: it has a space or a slash in it`,
		"host\x7f":           `"host\x7f" is not an address: it has a space or a slash in it`,
		"time.example:123\n": `"time.example:123\n" is not an address: it has a space or a slash in it`,
	} {
		if got, err := ParseAddress(text, 123); err == nil || err.Error() != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestAddressString(t *testing.T) {
	for want, a := range map[string]Address{"[::1]:123": {"::1", 123}, "host:1": {"host", 1}, "192.0.2.1:2": {"192.0.2.1", 2}} {
		if a.String() != want {
			t.Errorf("%#v prints %s", a, a)
		}
		if back, err := ParseAddress(want, 9); err != nil || back != a {
			t.Errorf("%s reads back as %#v, %v", want, back, err)
		}
	}
}

func TestSubnets(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0/0":       "0.0.0.0/0",
		"192.0.2.77/24":   "192.0.2.0/24",
		"192.0.2.1/32":    "192.0.2.1/32",
		"::/0":            "::/0",
		"2001:db8::5/32":  "2001:db8::/32",
		"2001:db8::1/128": "2001:db8::1/128",
	} {
		if got, err := parseSubnet(text); err != nil || got != netip.MustParsePrefix(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
}

func TestMappedSubnetsAreIPv4(t *testing.T) {
	for text, want := range map[string]string{
		"::ffff:192.0.2.0/120": "192.0.2.0/24",
		"::ffff:10.1.2.3/96":   "0.0.0.0/0",
		"::ffff:10.1.2.3/128":  "10.1.2.3/32",
	} {
		if got, err := parseSubnet(text); err != nil || got != netip.MustParsePrefix(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	if got, err := parseSubnet("::ffff:10.0.0.0/95"); err == nil {
		t.Errorf("a prefix beyond the mapped addresses is taken as %v", got)
	}
}

func TestSubnetsRefuse(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":         `"192.0.2.1" has no length after a slash`,
		"192.0.2.0/33":      `the length of "192.0.2.0/33" is not a number from 0 to 32`,
		"192.0.2.0/":        `the length of "192.0.2.0/" is not a number from 0 to 32`,
		"192.0.2.0/-1":      `the length of "192.0.2.0/-1" is not a number from 0 to 32`,
		"::/129":            `the length of "::/129" is not a number from 0 to 128`,
		"::/256":            `the length of "::/256" is not a number from 0 to 128`,
		"fe80::1%eth0/64":   `"fe80::1%eth0/64" does not begin with an IP address`,
		"localhost/8":       `"localhost/8" does not begin with an IP address`,
		"192.0.2.0/24/1":    `the length of "192.0.2.0/24/1" is not a number from 0 to 32`,
		"::ffff:1.2.3.4/90": `"::ffff:1.2.3.4/90" reaches beyond the IPv4 addresses mapped into IPv6`,
	} {
		if got, err := parseSubnet(text); err == nil || err.Error() != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
}

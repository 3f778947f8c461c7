package pool

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/internal/testgeo"
)

func TestGeo(t *testing.T) {
	g, err := OpenGeo(testgeo.Database(map[string][2]string{
		"192.0.2.0/24": {"NL", "EU"}, "2001:db8::/32": {"JP", "AS"}, "198.51.100.0/24": {"", "OC"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if g.Type() != "Test-Country" || g.Built() != 1_700_000_000 {
		t.Errorf("%s, built %d", g.Type(), g.Built())
	}
	for addr, want := range map[string]Place{
		"192.0.2.7": {"NL", "EU"}, "::ffff:192.0.2.7": {"NL", "EU"}, "2001:db8::1": {"JP", "AS"},
		"198.51.100.1": {"", "OC"}, "203.0.113.1": {},
	} {
		if got := g.Locate(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %v, want %v", addr, got, want)
		}
	}
	for _, bad := range [][]byte{nil, []byte("PK\x03\x04"), []byte("\xab\xcd\xefMaxMind.com")} {
		if _, err := OpenGeo(bad); err == nil || !strings.HasSuffix(err.Error(), geoRemedy) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	seen := make(map[string]string)
	for _, c := range continents {
		for i := 0; i < len(c.countries); i += 3 {
			code := c.countries[i : i+2]
			if other := seen[code]; other != "" || c.countries[i+2] != ' ' {
				t.Errorf("%q is in %s and %s", code, c.code, other)
			}
			seen[code] = c.code
		}
	}
	if len(seen) != 250 { // ISO 3166-1 has 249; XK is in use besides
		t.Errorf("%d countries", len(seen))
	}
	for code, want := range map[string]Place{"nl": {"NL", "EU"}, "": {}, "XX": {"XX", ""}, "L ": {"L ", ""}, "BR": {"BR", "SA"}} {
		if got := PlaceOf(code); got != want {
			t.Errorf("%q is in %v", code, got)
		}
	}
	nl, de, us := PlaceOf("NL"), PlaceOf("DE"), PlaceOf("US")
	for _, c := range []struct {
		client, source Place
		want           tier
	}{{nl, nl, sameCountry}, {nl, de, sameContinent}, {nl, us, elsewhere}, {Place{}, Place{}, elsewhere}, {Place{}, nl, elsewhere}, {Place{"", "EU"}, nl, sameContinent}} {
		if got := tierOf(c.client, c.source); got != c.want {
			t.Errorf("from %v to %v: %v", c.client, c.source, got)
		}
	}
}

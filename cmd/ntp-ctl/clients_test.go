package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/jsonschema"
)

// aCrowd is what a busy server remembers.
func aCrowd() *observe.ClientList {
	f := func(v float64) *float64 { return &v }
	return &observe.ClientList{Schema: 1, Scope: "network", LastHour: 4711, Remembered: 812, Clients: []observe.Client{
		{Client: "203.0.113.0/24", Requests: 1840233, NTS: 220300, Limited: 4000, KnownFor: 262800, Age: 0, Interval: f(0.143)},
		{Client: "2001:db8:1234::/48", Requests: 5077, Missed: 12, NTS: 5077, KnownFor: 86000, Age: 64.125, Interval: f(16.9)},
		{Client: "192.168.1.7", Requests: 84, KnownFor: 86000, Age: 900, Interval: f(1024)},
		{Client: "198.51.100.0/24", Requests: 3, Denied: 3, KnownFor: 7200, Age: 7000, Interval: f(100)},
		{Client: "fd00:1:2:3::/64", Requests: 1, KnownFor: 3, Age: 3},
	}}
}

func TestGoldenClients(t *testing.T) {
	for _, sc := range []screen{{width: 80, unicode: true}, {width: 120, unicode: true}, {width: 50}} {
		var b bytes.Buffer
		if err := writeClients(&b, sc, aCrowd()); err != nil {
			t.Fatal(err)
		}
		compare(t, fmt.Sprintf("clients.%d.txt", sc.width), b.Bytes())
	}
}

func TestClientsFit(t *testing.T) {
	for w := narrowest; w <= 200; w++ {
		var b bytes.Buffer
		if err := writeClients(&b, screen{width: w}, aCrowd()); err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(b.String()) {
			if width(strings.TrimSuffix(l, "\n")) > w {
				t.Fatalf("at %d columns: %d wide: %s", w, width(l), l)
			}
		}
	}
}

func TestNobodyAsked(t *testing.T) {
	var b bytes.Buffer
	if err := writeClients(&b, screen{width: 80}, &observe.ClientList{}); err != nil || b.String() != "Nobody has asked in the last day.\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestClientsFollowTheSchema(t *testing.T) {
	b, err := json.Marshal(aCrowd())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range jsonschema.Check(observe.ClientsDocument, b) {
		t.Error(err)
	}
}

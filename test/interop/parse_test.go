package main

import (
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

func TestReport(t *testing.T) {
	r := readReport("NTP packets received       : 12\nOffset          : -0.000012 seconds\nAuthenticated   : Yes\npackets:   3   4   2.0s/p\n")
	if n, m, d, a := r.number("NTP packets received"), r.number("packets"), r.seconds("Offset"), r.text("Authenticated"); n != 12 || m != 3 ||
		d != -12*time.Microsecond || a != "Yes" || r.err != nil {
		t.Errorf("%d, %d, %v, %q, %v", n, m, d, a, r.err)
	}
	if r.number("missing"); r.err == nil {
		t.Error("a missing line is no error")
	}
	if r := readReport("a: b\n"); r.number("a") != 0 || r.err == nil {
		t.Error("a word is taken for a number")
	}
}

func TestNTPQTexts(t *testing.T) {
	list := `
ind assid status  conf reach auth condition  last_event cnt
===========================================================
  1 17767  961a   yes   yes  none  sys.peer    sys_peer  1
`
	if id, condition := association(list); id != "17767" || condition != "sys.peer" {
		t.Errorf("got %q, %q", id, condition)
	}
	if id, _ := association("No association IDs returned\n"); id != "" {
		t.Errorf("got %q", id)
	}
	vars := variables("associd=1 status=0514 leap_none,\nsrcadr=10.77.0.1, reach=003, offset=-0.25,\nversion=\"ntpd ntpsec-1.2.2\", ntscookies=8")
	for name, want := range map[string]string{"srcadr": "10.77.0.1", "reach": "003", "offset": "-0.25", "version": "ntpd ntpsec-1.2.2", "ntscookies": "8"} {
		if vars[name] != want {
			t.Errorf("%s is %q, want %q", name, vars[name], want)
		}
	}
}

func TestAchievedByObservation(t *testing.T) {
	eight := 8
	good := func() lab.Observation {
		var o lab.Observation
		o.System.Stratum, o.System.Leap = 2, "NoWarning"
		o.Sources = append(o.Sources, struct {
			Name       string  `json:"name"`
			Address    string  `json:"address"`
			Offset     float64 `json:"offset"`
			Unanswered int     `json:"unanswered_polls"`
			Cookies    *int    `json:"nts_cookies"`
		}{Offset: 1e-3, Cookies: &eight})
		return o
	}
	if err := achievedBy(good()).suffices(true); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*lab.Observation){
		"no source":      func(o *lab.Observation) { o.Sources = nil },
		"not answered":   func(o *lab.Observation) { o.Sources[0].Unanswered = 8 },
		"alarm":          func(o *lab.Observation) { o.System.Leap = "Unsynchronized" },
		"stratum 16":     func(o *lab.Observation) { o.System.Stratum = 16 },
		"second off":     func(o *lab.Observation) { o.Sources[0].Offset = 1 },
		"cookies unsaid": func(o *lab.Observation) { o.Sources[0].Cookies = nil },
	} {
		o := good()
		spoil(&o)
		if achievedBy(o).suffices(true) == nil {
			t.Errorf("%s: suffices", name)
		}
	}
}

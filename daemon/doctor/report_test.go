package doctor

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestALineSaysWhatWasMeasuredExpectedAndTheFix(t *testing.T) {
	for _, c := range []struct {
		line Line
		want string
	}{
		{Line{"dns", "", OK, "3 names", "", "never shown"}, "OK    dns: 3 names"},
		{Line{"dns", "a.test", Fail, "no answer", "an answer", "ask"}, "FAIL  dns: a.test: no answer (expected: an answer); fix: ask"},
		{Line{"nts", "x\ny", Warn, "evil\x1b[2J", "", ""}, "WARN  nts: x y: evil [2J"},
	} {
		if got := c.line.String(); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestTheReportIsAsBadAsItsWorstLine(t *testing.T) {
	r := &Report{Schema: Schema}
	r.add(Line{Check: "a", Status: OK, Measured: "fine"})
	var text strings.Builder
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "\nAll OK: 1 checks.\n") {
		t.Errorf("%v\n%s", err, &text)
	}
	if _, bad := r.First(); bad {
		t.Error("a first trouble where there is none")
	}
	r.add(Line{Check: "b", Status: Warn, Measured: "hm"})
	r.add(Line{Check: "c", Status: Fail, Measured: "no"})
	r.add(Line{Check: "d", Status: OK, Measured: "fine"})
	if first, bad := r.First(); !bad || first.Check != "b" || r.Status != Fail {
		t.Errorf("%v, %v", first, r.Status)
	}
	text.Reset()
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "1 failed, 1 warnings, 2 OK") {
		t.Errorf("%v\n%s", err, &text)
	}
	out, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(out), `"status":"fail"`) || !strings.Contains(string(out), `"check":"b","status":"warn"`) {
		t.Errorf("%v: %s", err, out)
	}
}

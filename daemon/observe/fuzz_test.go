package observe

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzObservation is the reading end of the observation socket, of ntp-ctl and
// of the exporter, with a daemon that says what it likes. What is taken for a
// state can be shown in every form: a report that is JSON and has nothing in it
// that a terminal obeys, the plain form, and metrics that a scraper reads.
func FuzzObservation(f *testing.F) {
	s := sample()
	full, err := json.Marshal(&s)
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []string{
		string(full), "", "{}", "null", "[]", `{"sources":null,"servers":[{}],"ntpd_go":{}}`,
		`{"program":{"now":{"timestamp":4294967296000},"version":"\u001b[2J\n\""},"system":{"stratum":1,"root_variance_cubic":1e308,"root_variance_linear":-1e308,"root_delay":1e308}}`,
		`{"system":{"stratum":16},"ntpd_go":{"sources":[{"condition":"\u001b]0;x\u0007","name":"a\nb","id":1,"retry_in":-1e308,"poll":-128,"last_update":{"timestamp":0}}],"primary":1}}`,
		`{"system":{"stratum":3},"ntpd_go":{"sources":[{"condition":"falseticker","offset":1e308,"nts":true,"samples":0}],"offset":-1e308,"kernel_drops":[1,2],"verdicts":[{"a\"\n\\":1}],"agree":-1,"agreeing":-5,"selected":-3}}`,
		`{"servers":[{"address":"\\\"\n"}],"ntpd_go":{"synchronised":true,"nts_ke_servers":[{"outcomes":{"":1},"certificate_expires":"9999-12-31T23:59:59-23:59"}]}}`,
		`{"sources":[{"poll_interval":127,"unanswered_polls":8,"uncertainty":1e300,"name":"x\u001b[2J","address":"\r"},{"poll_interval":-128}]}`,
	} {
		f.Add([]byte(c), true)
	}
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 2, '{', '}', '{'}, false)
	f.Add(bytes.Repeat([]byte{0xff}, 9), false)
	f.Add([]byte{0, 0, 0, 0, 0, 16, 0, 1, '{'}, false)
	f.Fuzz(func(t *testing.T, octets []byte, framed bool) {
		if framed {
			octets = append(binary.BigEndian.AppendUint64(nil, uint64(len(octets))), octets...)
		}
		r := bytes.NewReader(octets)
		var s State
		err := decode(r, &s)
		read := len(octets) - r.Len()
		if read > 8 && (err != nil && binary.BigEndian.Uint64(octets) > maxDocument || read > 8+maxDocument) {
			t.Fatalf("%d octets were read", read)
		}
		if err != nil {
			if Harmless(err.Error()) != err.Error() {
				t.Fatalf("%q", err)
			}
			return
		}
		if n := binary.BigEndian.Uint64(octets); !json.Valid(octets[8 : 8+n]) {
			t.Fatalf("%q was taken for a state", octets)
		}
		checkState(t, &s)
	})
}

// checkState shows a state in every form.
func checkState(t *testing.T, s *State) {
	t.Helper()
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again State
	if err := decode(bytes.NewReader(append(binary.BigEndian.AppendUint64(nil, uint64(len(body))), body...)), &again); err != nil && len(body) <= maxDocument {
		t.Fatal(err)
	}
	if second, err := json.Marshal(&again); len(body) <= maxDocument && (err != nil || !bytes.Equal(body, second)) {
		t.Fatalf("%s became %s: %v", body, second, err)
	}
	r := NewReport(s, time.Unix(1.7e9, 0))
	if _, err := json.Marshal(r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	checkTexts(t, reflect.ValueOf(r).Elem())
	var plain, metrics bytes.Buffer
	if err := WritePlain(&plain, s); err != nil {
		t.Fatal(err)
	}
	if i := bytes.IndexFunc(plain.Bytes(), func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }); i >= 0 {
		t.Fatalf("%q is shown", plain.Bytes()[i:])
	}
	if err := WritePrometheus(&metrics, s); err != nil {
		t.Fatal(err)
	}
	checkMetrics(t, metrics.String())
}

// checkTexts: the texts of a report are lines that a terminal can be given.
// The names of counters are for programs alone.
func checkTexts(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); line(s) != s {
			t.Fatalf("%q is shown", s)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			checkTexts(t, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() {
				checkTexts(t, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkTexts(t, v.Index(i))
		}
	}
}

var exposed = regexp.MustCompile(`^([a-z_]+)(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,|\}))+)? (\S+)$`)

// checkMetrics reads the text format: families with a head each, and below it
// their samples.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	body, ended := strings.CutSuffix(text, "# EOF\n")
	if !ended {
		t.Fatalf("no end: %q", text)
	}
	family := ""
	for l := range strings.Lines(body) {
		l = strings.TrimSuffix(l, "\n")
		if name, ok := strings.CutPrefix(l, "# HELP "); ok {
			family, _, _ = strings.Cut(name, " ")
			continue
		}
		if strings.HasPrefix(l, "# TYPE "+family+" ") || strings.HasPrefix(l, "# UNIT "+family+" ") {
			continue
		}
		m := exposed.FindStringSubmatch(l)
		if m == nil || m[1] != family {
			t.Fatalf("%q is no sample of %s", l, family)
		}
		if _, err := strconv.ParseFloat(m[2], 64); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
	}
}

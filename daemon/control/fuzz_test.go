package control

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// FuzzAnswers is ntp-ctl's end of the control socket, with a server that says
// what it likes. What ntp-ctl asks is what a server understands; what it hears
// is an answer or an error of one line; and nothing that it shows can move the
// cursor of a terminal.
func FuzzAnswers(f *testing.F) {
	for _, said := range []string{
		"", "\n", "{", "{}\n", "null\n", "[]\n", `{"schema":1,"done":true,"text":["did"],"data":{"a":[1,2]}}` + "\n",
		`{"schema":1,"done":false,"text":["because","\u001b[2J"]}` + "\nmore", `{"schema":1,"done":true}`, `{"done":1}` + "\n",
		`{"schema":1,"done":true,"data":` + strings.Repeat("[", 100) + "\n", `{"schema":1,"done":false,"text":[""]}` + "\n",
		`{"schema":` + strings.Repeat("9", 500) + "}\n",
	} {
		f.Add([]byte(said), "reload", "a.test", "mode = \"server\"\n")
		f.Add([]byte(said), "source-add", "\x00\xff", strings.Repeat("x", MaxRequest))
	}
	f.Fuzz(func(t *testing.T, said []byte, verb, source, config string) {
		asked := Request{Verb: Verb(verb), Source: source, Config: config}
		h := &half{in: strings.NewReader(string(said))}
		a, err := exchange(h, asked)
		if h.out.Len() == 0 {
			if b, _ := json.Marshal(Request{Schema, Verb(verb), source, config, 0, 0}); err == nil || len(b) < MaxRequest {
				t.Fatalf("%d octets were not sent: %v", len(b), err)
			}
			return
		}
		got, rerr := read(&h.out)
		want := Request{Schema: Schema, Verb: Verb(text(verb)), Source: text(source), Config: text(config)}
		if rerr != nil || got != want {
			t.Fatalf("%+v arrived as %+v: %v", want, got, rerr)
		}
		if err != nil {
			harmless(t, err.Error())
			return
		}
		line, _, _ := bytes.Cut(said, []byte("\n"))
		if !json.Valid(line) {
			t.Fatalf("%q was taken for %+v", said, a)
		}
		for _, l := range a.Text {
			harmless(t, l)
		}
		if !a.Done && refusal(a.Text) == nil {
			t.Fatal("what was not done is no error")
		}
	})
}

// text is what JSON makes of a text.
func text(s string) string {
	b, _ := json.Marshal(s) // never fails
	var out string
	_ = json.Unmarshal(b, &out)
	return out
}

// harmless wants a text that a terminal shows as one line.
func harmless(t *testing.T, s string) {
	t.Helper()
	if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		t.Fatalf("%q is shown", s)
	}
}

package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/recording"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// vault is a server with keys in a world that is recorded. It remembers every
// secret that it hands out, and makes trouble for its client.
type vault struct {
	t         *testing.T
	rng       random
	keyset    *cookie.Keyset
	responder *server.Responder
	snapshot  server.TimeSnapshot
	secrets   [][]byte
	replies   [][]byte
	answered  int
}

func newVault(t *testing.T) *vault {
	v := &vault{
		t: t, rng: newRandom(5, "vault"),
		snapshot: server.TimeSnapshot{Stratum: 1, RefID: proto.RefIDText("GPS"), Precision: -20, ValidUntil: proto.Never},
	}
	v.forget()
	v.responder = server.New(server.Config{Versions: server.Version3And4}, v.rng)
	return v
}

// forget makes all cookies void.
func (v *vault) forget() {
	k, err := cookie.NewKeyset(v.rng)
	if err != nil {
		v.t.Fatal(err)
	}
	v.keyset = k
}

func (v *vault) bytes(n int) []byte {
	b := make([]byte, n)
	v.rng.Read(b)
	return b
}

// exchange is a key exchange.
func (v *vault) exchange(a engine.ExchangeKeys) engine.Event {
	c := cookie.Contents{Algorithm: aead.AESSIVCMAC256, C2S: v.bytes(32), S2C: v.bytes(32)}
	ev := engine.KeysEstablished{Request: a.Request, Server: a.Host, Port: 123, Algorithm: c.Algorithm, C2S: c.C2S, S2C: c.S2C}
	v.secrets = append(v.secrets, c.C2S, c.S2C)
	for range 8 {
		k, err := v.keyset.Seal(nil, c, v.bytes(cookie.NonceLen))
		if err != nil {
			v.t.Fatal(err)
		}
		ev.Cookies, v.secrets = append(ev.Cookies, k), append(v.secrets, k)
	}
	return ev
}

// answer is the reply to a request with cookies, and what an attacker on the
// path adds: replies of before, changed ones, and the cookie in the clear.
func (v *vault) answer(at proto.Timestamp, request []byte) (all [][]byte) {
	v.answered++
	if v.answered%50 == 0 {
		v.forget() // the client needs new keys
	}
	reply, verdict := v.responder.Respond(nil, server.Request{
		Payload: request, From: netip.AddrPortFrom(nodeAddress, 40000), To: address(1), Rx: proto.Stamp{At: at, Source: proto.StampKernel}, Mono: 1,
	}, &v.snapshot, v.keyset, func() proto.Timestamp { return at })
	if !verdict.Answered() {
		v.t.Fatalf("verdict %v", verdict)
	}
	v.note(request, reply)
	p, err := proto.ParsePacket(request)
	if err != nil {
		v.t.Fatal(err)
	}
	changed := bytes.Clone(reply)
	changed[len(changed)-1-v.answered%40] ^= 1
	for f := range p.All() {
		if f.Type == proto.FieldCookie {
			echo, err := proto.AppendField(bytes.Clone(reply), proto.FieldCookie, f.Value, proto.MinFieldLen)
			if err != nil {
				v.t.Fatal(err)
			}
			changed = append(changed, f.Value...) // not even a field
			all = append(all, echo)
		}
	}
	v.replies = append(v.replies, reply)
	return append(all, changed, v.replies[len(v.replies)/2], reply)
}

// note remembers the cookies of a reply.
func (v *vault) note(request, reply []byte) {
	var keys cookie.Contents
	q, err := proto.ParsePacket(request)
	if err != nil {
		v.t.Fatal(err)
	}
	for f := range q.All() {
		if f.Type == proto.FieldCookie {
			if keys, err = v.keyset.Open(f.Value); err != nil {
				return // a NAK
			}
		}
	}
	s2c, err := aead.New(keys.Algorithm, keys.S2C)
	if err != nil {
		v.t.Fatal(err)
	}
	p, err := proto.ParsePacket(reply)
	if err != nil {
		v.t.Fatal(err)
	}
	for f := range p.All() {
		if f.Type != proto.FieldAuthenticator {
			continue
		}
		inner, err := aead.OpenField(nil, reply, f, s2c)
		if err != nil {
			v.t.Fatal(err)
		}
		for c := range proto.Inner(inner) {
			v.secrets = append(v.secrets, bytes.Clone(c.Value))
		}
	}
}

// record runs a world with a plain server and one with keys, and returns the
// recording and the secrets.
func record(t *testing.T, duration float64) (file []byte, v *vault) {
	t.Helper()
	link := Link{Base: 0.004, Jitter: Jitter{Dist: "exponential", Scale: 3e-4}, Loss: 0.1, Duplicate: 0.1}
	s := &Scenario{
		Name: "recorded", Duration: duration, StatsFrom: duration / 2, Clock: Clock{Offset: 0.3, Freq: 2e-5, Wander: 1e-9},
		Servers: []Server{{Up: link, Down: link}, {Up: link, Down: link}},
		Events:  []Event{{At: 3000, Kind: "step", By: 0.4}, {At: 5000, Kind: "suspend", By: 0.2}},
		Toml: "# a comment with a password\n[[source]]\nmode = \"server\"\naddress = \"10.1.0.1\"\n[[source]]\nmode = \"nts\"\naddress = \"10.1.0.2\"\n" +
			"[source-defaults]\npoll-interval-limits = { min = 4, max = 5 }\n",
	}
	cfg, err := build(s.Toml)
	if err != nil {
		t.Fatal(err)
	}
	v = newVault(t)
	w := newWorld(s, 3, cfg)
	r := recording.NewRecorder([32]byte{1, 2, 3})
	w.engine = engine.New(cfg, engine.State{}, r.Entropy(newRandom(3, "entropy")), w.clock.now())
	put := func(line []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, line...)
	}
	put(r.Head(recording.Head{Program: "a test", Config: s.Toml[strings.Index(s.Toml, "\n"):], Now: w.clock.now()}))
	w.keys = v.exchange
	w.secure = func(_ int, at proto.Timestamp, request []byte) [][]byte { return v.answer(at, request) }
	w.tape = func(now proto.Now, ev engine.Event, actions []engine.Action) { put(r.Step(now, ev, actions)) }
	w.run(nil)
	put(recording.End("the test ended"), nil)
	return file, v
}

// A replay does what the daemon did, to the octet, and nobody learns a key or
// a cookie from the file.
func TestARecordingReplaysWithoutItsSecrets(t *testing.T) {
	file, v := record(t, 12000)
	got, err := Replay(bytes.NewReader(file))
	if err != nil || got.Differs != nil {
		t.Fatalf("%v, %v", err, got.Differs)
	}
	if got.End != "the test ended" || got.Lines != bytes.Count(file, []byte("\n")) {
		t.Errorf("%d lines, end %q", got.Lines, got.End)
	}
	if r := got.Result; r.Steps == 0 || !(r.Square > 0) || !(r.P99 < 0.01) || !(r.To1ms < 11000) || !(r.Polls > 50 && r.Polls < 300) {
		t.Errorf("%+v", r)
	}
	if v.answered < 300 || len(v.secrets) < 300 {
		t.Fatalf("%d answers and %d secrets are no test", v.answered, len(v.secrets))
	}
	decoded := texts(t, file)
	if i := find(decoded, v.secrets); i >= 0 {
		t.Fatalf("a secret is in the recording: %x", decoded[i:i+window])
	}
	if !bytes.Contains(decoded, []byte("10.1.0.2")) {
		t.Error("what was searched is not what is in the recording")
	}
}

// window is how much of a secret must not be found.
const window = 16

// find is where in a text a secret begins, or -1.
func find(text []byte, secrets [][]byte) int {
	begins := map[[window]byte]bool{}
	for _, s := range secrets {
		begins[[window]byte(s)] = true
	}
	for i := range max(len(text)-window+1, 0) {
		if begins[[window]byte(text[i:])] {
			return i
		}
	}
	return -1
}

// texts are all strings of a recording, and what those hold that are base64
// or hexadecimal.
func texts(t *testing.T, file []byte) []byte {
	var out bytes.Buffer
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			out.WriteString(v + "\n")
			if b, err := base64.StdEncoding.DecodeString(v); err == nil {
				out.Write(b)
			}
			if b, err := hex.DecodeString(v); err == nil {
				out.Write(b)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	for line := range bytes.Lines(file) {
		var v any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		walk(v)
	}
	return out.Bytes()
}

// The same search finds the secrets of a recording that was not scrubbed.
func TestTheSearchForSecretsFinds(t *testing.T) {
	secret := []byte("sixteen or more octets of a cookie")
	b, err := recording.Action(engine.Send{Payload: append([]byte("abcd"), secret...)})
	if err != nil || find(texts(t, b), [][]byte{secret}) < 0 {
		t.Errorf("%v, %s", err, b)
	}
}

// Another engine than the recorded one is found out, at the line.
func TestAReplayThatDiffersSaysWhere(t *testing.T) {
	file, _ := record(t, 100)
	lines := bytes.SplitAfter(file, []byte("\n"))
	find := func(what string) int {
		for i, l := range lines {
			if bytes.Contains(l, []byte(what)) {
				return i
			}
		}
		t.Fatalf("no line has %s", what)
		return 0
	}
	edit := func(i int, change func(string) string) []byte {
		var out []byte
		for j, l := range lines {
			if j == i {
				l = []byte(change(string(l)))
			}
			out = append(out, l...)
		}
		return out
	}
	steer, sent := find(`"Steer":`), find(`"random":`)
	tests := map[string]struct {
		file []byte
		line int
		want string
	}{
		"another frequency": {edit(steer, func(l string) string { return strings.Replace(l, `"Frequency":0`, `"Frequency":1e-6`, 1) }), steer + 1, `recorded {"Steer":{"ID":2,"Adjustment":{"Step":0,"Frequency":0.000001`},
		"an action less": {edit(steer, func(l string) string {
			return l[:strings.Index(l, `"actions":[`)] + `"actions":[]}` + "\n"
		}), steer + 1, "recorded nothing"},
		"fewer random octets": {edit(sent, func(l string) string { return strings.Replace(l, `"random":"`, `"random":"AAAA`, 1) }), sent + 1, ""},
		"another configuration": {edit(0, func(l string) string {
			return strings.Replace(l, `mode = \"nts\"`, `mode = \"server\"`, 1)
		}), 2, "ExchangeKeys"},
	}
	for name, tt := range tests {
		got, err := Replay(bytes.NewReader(tt.file))
		if err != nil || got.Differs == nil {
			t.Errorf("%s: %v, no difference", name, err)
			continue
		}
		if got.Differs.Line != tt.line || !strings.Contains(got.Differs.String(), tt.want) {
			t.Errorf("%s: %v; want line %d with %q", name, got.Differs, tt.line, tt.want)
		}
	}
}

// What is no recording, or not whole, is said with the line.
func TestWhatIsNoRecordingIsSaid(t *testing.T) {
	file, _ := record(t, 100)
	lines := bytes.SplitAfter(file, []byte("\n"))
	before := func(n int, more string) string { return string(bytes.Join(lines[:n], nil)) + more }
	for name, tt := range map[string]struct{ file, want string }{
		"empty":                 {"", "line 1: the file is empty"},
		"no recording":          {"hello\n", "line 1: this is no recording"},
		"other JSON":            {"{}\n", "line 1: this is no recording"},
		"later version":         {`{"ntpd-go recording":2}` + "\n", "line 1: a recording of version 2"},
		"unknown head":          {`{"ntpd-go recording":1,"more":1}` + "\n", "line 1: "},
		"head cut off":          {string(lines[0][:100]), "line 1: the line is cut off"},
		"line cut off":          {before(9, string(lines[9][:20])), "line 10: the line is cut off"},
		"garbage":               {before(9, "\x00\xff\n"), "line 10: not a line of a recording"},
		"no time":               {before(9, "{}\n"), "line 10: not a line of a recording"},
		"unknown event":         {before(9, `{"now":{"Mono":1,"Wall":2},"event":{"Danced":{}}}`+"\n"), `line 10: not a line of a recording: unknown event "Danced"`},
		"two events":            {before(9, `{"now":{"Mono":1,"Wall":2},"event":{"Sent":{},"Jumped":{}}}`+"\n"), "line 10: not a line"},
		"unknown key":           {before(9, `{"now":{"Mono":1,"Wall":2},"event":{"Sent":{"Exchagne":3}}}`+"\n"), "line 10: not a line"},
		"unknown action":        {before(9, `{"now":{"Mono":1,"Wall":2},"actions":[{"Dance":{}}]}`+"\n"), "line 10: "},
		"behind the end":        {string(file) + string(lines[1]), fmt.Sprintf("line %d: ", len(lines))},
		"a line without an end": {before(9, strings.Repeat("x", 5<<20)), "line 10: longer than"},
		"bad configuration":     {strings.Replace(string(file), `mode = \"nts\"`, `mode = \"nope\"`, 1), "line 1: ntp.toml: "},
	} {
		got, err := Replay(strings.NewReader(tt.file))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", name, err, tt.want)
		}
		if strings.HasPrefix(tt.want, "line 10") && (got == nil || got.Lines != 9 && name != "unknown action") {
			t.Errorf("%s: the lines before were not replayed: %+v", name, got)
		}
	}
	// A daemon that was killed leaves whole lines and no end.
	if got, err := Replay(strings.NewReader(before(20, ""))); err != nil || got.End != "" || got.Lines != 20 || got.Differs != nil {
		t.Errorf("%v, %+v", err, got)
	}
	broken := io.MultiReader(strings.NewReader(before(9, "")), errReader{})
	if _, err := Replay(broken); err == nil || !strings.HasPrefix(err.Error(), "line 10: the disk") {
		t.Errorf("%v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

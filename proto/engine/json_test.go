package engine

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// everyEvent and everyAction are one value of each; TestSetsAreComplete
// compares them with the source.
var (
	everyEvent = []Event{
		Sent{}, SendFailed{}, Received{}, LookedUp{}, Located{}, KeysEstablished{}, KeyExchangeFailed{}, Restored{}, Ending{}, Referenced{}, ReferenceLost{},
		SteerApplied{}, SteerFailed{}, Jumped{}, NetworkChanged{}, Reconfigured{Config: config(src(ModeServer, "x", 1))}, Commanded{},
	}
	everyAction = []Action{
		Send{}, Abandon{}, Lookup{}, Locate{}, ExchangeKeys{}, OpenReference{}, CloseReference{}, Steer{}, SetClockStatus{},
		PublishSnapshot{}, Save{}, Keep{}, Report{}, Halt{},
	}
)

func TestSetsAreComplete(t *testing.T) {
	for file, want := range map[string]int{"event.go": len(everyEvent), "action.go": len(everyAction)} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, d := range f.Decls {
			if m, ok := d.(*ast.FuncDecl); ok && m.Recv != nil && m.Name.Name == strings.TrimSuffix(file, ".go") {
				n++
			}
		}
		if n != want {
			t.Errorf("%s declares %d, the test knows %d", file, n, want)
		}
	}
}

// Every event and action marshals to one line, and is a plain value: nothing
// in it is a pointer, a function, an error or a map.
func TestEventsAndActionsAreLines(t *testing.T) {
	check := func(v any) {
		line, err := json.Marshal(v)
		if err != nil || bytes.ContainsRune(line, '\n') {
			t.Errorf("%T: %v", v, err)
		}
		plain(t, reflect.TypeOf(v), reflect.TypeOf(v).String())
	}
	for _, e := range everyEvent {
		check(e)
	}
	for _, a := range everyAction {
		check(a)
	}
}

func plain(t *testing.T, typ reflect.Type, path string) {
	if strings.HasPrefix(typ.PkgPath(), "net/netip") || typ == reflect.TypeFor[time.Time]() {
		return
	}
	switch typ.Kind() {
	case reflect.Pointer:
		if typ.Elem().Kind() != reflect.Float64 && typ.Elem().Kind() != reflect.Bool { // optional numbers
			t.Errorf("%s is a pointer", path)
		}
	case reflect.Func, reflect.Chan, reflect.Map, reflect.Interface, reflect.UnsafePointer:
		t.Errorf("%s is a %v", path, typ.Kind())
	case reflect.Slice, reflect.Array:
		plain(t, typ.Elem(), path+"[]")
	case reflect.Struct:
		for i := range typ.NumField() {
			plain(t, typ.Field(i).Type, path+"."+typ.Field(i).Name)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	raw := []byte("\xde\xad\xbe\xef top secret key of a client")
	ev := KeysEstablished{C2S: raw, S2C: raw, Cookies: []Secret{raw}}
	line, err := json.Marshal(ev)
	if err != nil || !bytes.Contains(line, []byte(`"C2S":"\u003csecret\u003e"`)) {
		t.Fatalf("%s, %v", line, err)
	}
	shown := string(line)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c"} {
		shown += fmt.Sprintf(verb, ev) + fmt.Sprintf(verb, ev.C2S) + fmt.Sprintf(verb, &ev)
	}
	for _, leak := range []string{"secret key", hex.EncodeToString(raw[:4]), "222, 173", "222 173", "0xde", "DEADBEEF"} {
		if strings.Contains(shown, leak) {
			t.Errorf("%q shows in %s", leak, shown)
		}
	}
}

// The same seed and the same world: the same run, to the octet.
func TestRunsAreReproducible(t *testing.T) {
	run := func() string {
		cfg := config(src(ModePool, "pool.example", 2), src(ModeNTSPool, "ke.example", 2), src(ModeServer, "192.0.2.3", 1))
		w := newWorld(t, cfg)
		w.record = true
		w.wrong = proto.Second / 3
		var names []string
		for i := range 6 {
			names = append(names, fmt.Sprintf("192.0.2.%d", i+1))
			w.host(names[i])
		}
		w.name("pool.example", names[:3]...)
		w.keys = poolOf(w, names[3:]...)
		w.run(400 * time.Second)
		w.hosts[w.row(0).Addr].down = true
		w.happen(NetworkChanged{})
		w.run(2 * time.Hour)
		return w.json.String()
	}
	a, b := run(), run()
	if a != b {
		t.Error("two runs differ")
	}
	if len(a) < 10000 {
		t.Errorf("recorded %d octets", len(a))
	}
}

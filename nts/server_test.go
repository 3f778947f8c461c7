package nts

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// exportText is an exporter whose keys tell what was asked for.
func exportText(label string, context []byte, length int) ([]byte, error) {
	key := fmt.Appendf(nil, "%s/%x/%d", label[len(label)-4:], context, length)
	return append(key, make([]byte, length)...)[:length], nil
}

// sealText makes cookies that show what is in them.
func sealText(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%d|%s|%s", a, bytes.TrimRight(c2s, "\x00"), bytes.TrimRight(s2c, "\x00")), nil
}

func respond(t *testing.T, s Server, req Request, session Session) (Response, Answer) {
	t.Helper()
	if session.Export == nil {
		session.Export = exportText
	}
	if session.Seal == nil {
		session.Seal = sealText
	}
	msg, answer, err := s.Respond(nil, req, session)
	if err != nil {
		t.Fatal(err)
	}
	decode := DecodeResponse
	switch answer {
	case AnsweredInformation:
		decode = DecodeSupported
	case AnsweredNames:
		decode = DecodeNames
	}
	resp, err := decode(msg)
	if err != nil {
		t.Fatalf("the server's own answer %x: %v", msg, err)
	}
	return resp, answer
}

// RFC 8915 section 5.1: the context is protocol 0, the algorithm, and 0 for
// the client's key or 1 for the server's; the label is that of section 4.3.
func TestRFC8915Section5_1KeyContexts(t *testing.T) {
	for _, c := range []struct {
		p    Protocol
		a    aead.Algorithm
		s2c  bool
		want string
	}{
		{NTPv4, 15, false, "0000000f00"},
		{NTPv4, 15, true, "0000000f01"},
		{NTPv4, 17, false, "0000001100"},
		{NTPv4, 30, true, "0000001e01"},
		{0x8001, 15, false, "8001000f00"},
	} {
		if got := fmt.Sprintf("%x", ExportContext(c.p, c.a, c.s2c)); got != c.want {
			t.Errorf("context %s, want %s", got, c.want)
		}
	}
	if ExporterLabel != "EXPORTER-network-time-security" {
		t.Errorf("label %q", ExporterLabel)
	}
}

func TestServerGivesEightCookies(t *testing.T) {
	s := Server{NTPServer: "ntp.example.net", NTPPort: 1231}
	got, answer := respond(t, s, KeyExchange{Protocols: []Protocol{0x8001, NTPv4}, Algorithms: []aead.Algorithm{99, 17, 15}}, Session{})
	want := Established{Protocol: NTPv4, Algorithm: 17, Server: "ntp.example.net", Port: 1231}
	for range 8 {
		want.Cookies = append(want.Cookies, []byte("17|rity/0000001100/64|rity/0000001101/64"))
	}
	if answer != AnsweredKeyExchange || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: %v, want %v", answer, got, want)
	}
}

func TestServerFollowsTheClientsOrder(t *testing.T) {
	for _, c := range []struct {
		offer []aead.Algorithm
		want  aead.Algorithm
	}{
		{[]aead.Algorithm{15, 17}, 15},
		{[]aead.Algorithm{17, 15}, 17},
		{[]aead.Algorithm{30, 15}, 15}, // 30 is never chosen
		{[]aead.Algorithm{1, 2, 15}, 15},
	} {
		got, _ := respond(t, Server{}, KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: c.offer, CompliantGCMSIV: true}, Session{})
		est, ok := got.(Established)
		if !ok || est.Algorithm != c.want || est.CompliantGCMSIV {
			t.Errorf("offered %v, answered %v", c.offer, got)
		}
		if est.Server != "" || est.Port != 0 {
			t.Errorf("a server without a name of its own sent %q, %d", est.Server, est.Port)
		}
	}
}

func TestServerWithoutOverlap(t *testing.T) {
	got, answer := respond(t, Server{}, KeyExchange{Protocols: []Protocol{0x8001}, Algorithms: []aead.Algorithm{15}}, Session{})
	if answer != AnsweredNoProtocol || !reflect.DeepEqual(got, NoOverlap{}) {
		t.Errorf("%v: %v", answer, got)
	}
	for _, offer := range []aead.Algorithm{99, 30} {
		got, answer = respond(t, Server{}, KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{offer}}, Session{})
		if answer != AnsweredNoAlgorithm || !reflect.DeepEqual(got, NoOverlap{Protocol: []Protocol{NTPv4}}) {
			t.Errorf("offered %d: %v: %v", offer, answer, got)
		}
	}
}

func TestServerFixedKey(t *testing.T) {
	q := FixedKey{Dialect: Draft, Protocol: NTPv4, Algorithm: 15, C2S: vectorC2S, S2C: vectorS2C, KeepAlive: true}
	noExport := func(string, []byte, int) ([]byte, error) {
		t.Error("keys were taken out of a pool's connection")
		return nil, errors.New("no")
	}
	session := Session{Export: noExport, KeepAlive: true, Reused: true}
	got, answer := respond(t, Server{}, q, session)
	est, ok := got.(Established)
	cookie, _ := sealText(15, vectorC2S, vectorS2C)
	if answer != AnsweredFixedKey || !ok || est.KeepAlive != Draft || !bytes.Equal(est.Cookies[7], cookie) {
		t.Errorf("%v: %v", answer, got)
	}
	for _, c := range []struct{ wish, grant bool }{{false, true}, {true, false}, {false, false}} {
		q.KeepAlive, session.KeepAlive = c.wish, c.grant
		if got, _ := respond(t, Server{}, q, session); got.(Established).KeepAlive != NoDialect {
			t.Errorf("wished %v, granted %v: %v", c.wish, c.grant, got)
		}
	}
	q.Protocol = 0x8001
	if got, answer = respond(t, Server{}, q, session); answer != AnsweredNoProtocol {
		t.Errorf("%v: %v", answer, got)
	}
	q.Protocol, q.Algorithm = NTPv4, 99
	if got, answer = respond(t, Server{}, q, session); answer != AnsweredNoAlgorithm {
		t.Errorf("%v: %v", answer, got)
	}
}

func TestServerInformation(t *testing.T) {
	protocols := []Protocol{NTPv4}
	algorithms := []SupportedAlgorithm{{17, 64}, {15, 32}}
	for _, c := range []struct {
		q     Information
		grant bool
		want  Supported
	}{
		{Information{Dialect: IANA, Protocols: true, Algorithms: true, KeepAlive: true}, true,
			Supported{Dialect: IANA, Protocols: protocols, Algorithms: algorithms, KeepAlive: true}},
		{Information{Dialect: IANA, Protocols: true}, true, Supported{Dialect: IANA, Protocols: protocols}},
		{Information{Dialect: Draft, Protocols: true, KeepAlive: true}, false, Supported{Dialect: Draft, Protocols: protocols}},
		{Information{Dialect: ClientCertificate, Algorithms: true}, true, Supported{Dialect: Draft, Algorithms: algorithms}},
	} {
		got, answer := respond(t, Server{}, c.q, Session{KeepAlive: c.grant})
		if answer != AnsweredInformation || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, want %v", answer, got, c.want)
		}
	}
}

func TestServerNames(t *testing.T) {
	got, answer := respond(t, Server{NTPServer: "ntp.example.net"}, Names{Dialect: IANA, KeepAlive: true}, Session{KeepAlive: true})
	if want := (ServerNames{Names: []string{"ntp.example.net"}, KeepAlive: IANA}); answer != AnsweredNames || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: %v", answer, got)
	}
	got, _ = respond(t, Server{}, Names{Dialect: IANA, KeepAlive: true}, Session{})
	if !reflect.DeepEqual(got, ServerNames{}) {
		t.Errorf("%v", got)
	}
}

// An ordinary request on a connection that a pool has used gives no keys.
func TestNoKeysFromAReusedConnection(t *testing.T) {
	export := func(string, []byte, int) ([]byte, error) {
		t.Error("keys were taken out of a reused connection")
		return nil, errors.New("no")
	}
	got, answer := respond(t, Server{}, KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{15}},
		Session{Export: export, Reused: true})
	if answer != AnsweredBadRequest || got != (Failure{BadRequest}) {
		t.Errorf("%v: %v", answer, got)
	}
}

// RFC 8915 section 4.1.3: "The server MUST respond with this error if it is
// unable to respond properly due to an internal condition."
func TestRFC8915Section4_1_3InternalServerError(t *testing.T) {
	broken := errors.New("out of order")
	q := KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{15}}
	for name, session := range map[string]Session{
		"exporter": {Export: func(string, []byte, int) ([]byte, error) { return nil, broken }, Seal: sealText},
		"sealer":   {Export: exportText, Seal: func(aead.Algorithm, []byte, []byte) ([]byte, error) { return nil, broken }},
	} {
		s := Server{}
		msg, answer, err := s.Respond(nil, q, session)
		if answer != AnsweredInternal || !errors.Is(err, broken) || !bytes.Equal(msg, fromHex("8002 0002 0002"+eom)) {
			t.Errorf("%s: %v, %x, %v", name, answer, msg, err)
		}
	}
	// A cookie that fits no record is no reason to crash either.
	s := Server{}
	_, answer, err := s.Respond(nil, q, Session{Export: exportText,
		Seal: func(aead.Algorithm, []byte, []byte) ([]byte, error) { return make([]byte, MaxBody+1), nil }})
	if answer != AnsweredInternal || !errors.Is(err, ErrEncode) {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestServerOverwritesExportedKeys(t *testing.T) {
	var exported [][]byte
	export := func(l string, c []byte, n int) ([]byte, error) {
		key, err := exportText(l, c, n)
		exported = append(exported, key)
		return key, err
	}
	respond(t, Server{}, KeyExchange{Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{15}}, Session{Export: export})
	for _, key := range exported {
		if !bytes.Equal(key, make([]byte, 32)) {
			t.Errorf("key %x is still there", key)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	q := FixedKey{Token: Secret("topsecret"), C2S: Secret("topsecret"), S2C: Secret("topsecret")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, v := range []any{q, &q, q.Token} {
			out := fmt.Sprintf(verb, v)
			if bytes.Contains([]byte(out), []byte("topsecret")) || bytes.Contains([]byte(out), []byte("746f70")) || bytes.Contains([]byte(out), []byte("116 111")) {
				t.Errorf("%s prints %s", verb, out)
			}
		}
	}
	if text, _ := q.C2S.MarshalText(); string(text) != "<secret>" {
		t.Errorf("marshals as %s", text)
	}
}

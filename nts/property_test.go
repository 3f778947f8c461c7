package nts

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

var (
	genBytes = func(lo, hi int) *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), lo, hi) }
	genName  = rapid.StringMatching(`[a-z]([a-z0-9-]{0,10}[a-z])?(\.[a-z]{1,8}){0,3}|192\.0\.2\.[1-9]|2001:db8::[1-9]`)
	genPort  = rapid.Uint16()
	genTwo   = rapid.SampledFrom([]Dialect{IANA, Draft})
)

// genRequest makes requests in the one form that decoding gives.
var genRequest = rapid.Custom(func(t *rapid.T) Request {
	d := rapid.SampledFrom(dialectsOnTheWire).Draw(t, "dialect")
	var token Secret
	if d == Draft || d == IANA && rapid.Bool().Draw(t, "token") {
		token = genBytes(1, 80).Draw(t, "token")
	}
	keep := rapid.Bool().Draw(t, "keep alive")
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		q := Information{Dialect: d, Token: token, KeepAlive: keep, Protocols: rapid.Bool().Draw(t, "protocols")}
		q.Algorithms = !q.Protocols || rapid.Bool().Draw(t, "algorithms")
		return q
	case 1:
		return Names{Dialect: d, Token: token, KeepAlive: keep}
	case 2:
		a := rapid.SampledFrom([]aead.Algorithm{15, 17, 99}).Draw(t, "algorithm")
		n := a.KeyLen()
		if n == 0 {
			n = rapid.IntRange(1, 80).Draw(t, "key length")
		}
		return FixedKey{Dialect: d, Token: token, KeepAlive: keep, Algorithm: a,
			Protocol: Protocol(rapid.Uint16().Draw(t, "protocol")),
			C2S:      genBytes(n, n).Draw(t, "c2s"), S2C: genBytes(n, n).Draw(t, "s2c")}
	default:
		q := KeyExchange{
			Protocols:       rapid.SliceOfN(rapid.Map(rapid.Uint16(), func(v uint16) Protocol { return Protocol(v) }), 1, 5).Draw(t, "protocols"),
			Algorithms:      rapid.SliceOfN(rapid.Map(rapid.Uint16(), func(v uint16) aead.Algorithm { return aead.Algorithm(v) }), 1, 5).Draw(t, "algorithms"),
			CompliantGCMSIV: rapid.Bool().Draw(t, "1024"),
			Port:            genPort.Draw(t, "port"),
		}
		if rapid.Bool().Draw(t, "wish") {
			q.Server = genName.Draw(t, "server")
		}
		for range rapid.IntRange(0, 4).Draw(t, "denies") {
			q.Deny = append(q.Deny, Deny{genName.Draw(t, "deny"), genTwo.Draw(t, "number")})
		}
		return q
	}
})

var dialectsOnTheWire = []Dialect{IANA, Draft, ClientCertificate}

func TestRequestsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := genRequest.Draw(t, "request")
		msg, err := AppendRequest(nil, req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRequest(msg, everybody)
		if err != nil || !reflect.DeepEqual(got, req) {
			t.Fatalf("%x decoded as %v, %v, want %v", msg, got, err, req)
		}
	})
}

func TestResponsesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.SampledFrom([]Dialect{NoDialect, IANA, Draft}).Draw(t, "keep alive")
		var resp Response
		decode := DecodeResponse
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			est := Established{
				Protocol:        Protocol(rapid.Uint16().Draw(t, "protocol")),
				Algorithm:       aead.Algorithm(rapid.Uint16().Draw(t, "algorithm")),
				CompliantGCMSIV: rapid.Bool().Draw(t, "1024"),
				Cookies:         rapid.SliceOfN(genBytes(1, 40), 1, MaxCookies).Draw(t, "cookies"),
				Port:            genPort.Draw(t, "port"), KeepAlive: keep,
			}
			if rapid.Bool().Draw(t, "named") {
				est.Server = genName.Draw(t, "server")
			}
			resp = est
		case 1:
			decode = DecodeSupported
			resp = Supported{
				Dialect: genTwo.Draw(t, "dialect"), KeepAlive: rapid.Bool().Draw(t, "keep"),
				Protocols: []Protocol{},
				Algorithms: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) SupportedAlgorithm {
					return SupportedAlgorithm{aead.Algorithm(rapid.Uint16().Draw(t, "id")), rapid.Uint16().Draw(t, "length")}
				}), 0, 5).Draw(t, "algorithms"),
			}
		case 2:
			decode = DecodeNames
			names := rapid.SliceOfN(genName, 1, 4).Draw(t, "names")
			resp = ServerNames{Names: names, KeepAlive: keep}
		}
		msg, err := AppendResponse(nil, resp)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(msg)
		if err != nil || !reflect.DeepEqual(got, resp) {
			t.Fatalf("%x decoded as %v, %v, want %v", msg, got, err, resp)
		}
	})
}

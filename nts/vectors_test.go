package nts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto/aead"
)

const vectorToken = "6e3f68f3e718c27507df40db422b80d2d4dd8061e4854a182f367dca44fb62b5"

var (
	vectorC2S = fromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	vectorS2C = fromHex("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f")
	cookie0   = fromHex("c0c0c0c0c0c0c0c0")
	cookie1   = fromHex("c1c1c1c1c1c1c1c1")
)

// vectors gives the typed value of every vector file. A nil value is a message
// that this side does not accept; its records still round-trip.
var vectors = []struct {
	file   string
	value  any
	decode func([]byte) (Response, error) // for responses
	refuse error                          // for requests without a value
}{
	{file: "D01-plain-client-request", value: KeyExchange{
		Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{15}}},
	{file: "D02-chrony-client-request", value: KeyExchange{
		Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{30, 15}, CompliantGCMSIV: true}},
	{file: "D03-client-denies-two-iana", value: KeyExchange{
		Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{17, 15},
		Deny: []Deny{{"a.example.net", IANA}, {"b.example.net", IANA}}}},
	{file: "D03b-client-denies-in-both-dialects", value: KeyExchange{
		Protocols: []Protocol{NTPv4}, Algorithms: []aead.Algorithm{17, 15},
		Deny: DenyInEveryDialect([]string{"a.example.net"})}},
	{file: "D04-information-request-iana", value: Information{
		Dialect: IANA, Token: Secret(vectorToken), Protocols: true, Algorithms: true, KeepAlive: true}},
	{file: "D05-information-response-iana", decode: DecodeSupported, value: Supported{
		Dialect: IANA, Protocols: []Protocol{NTPv4},
		Algorithms: []SupportedAlgorithm{{15, 32}, {17, 64}, {30, 16}}, KeepAlive: true}},
	{file: "D06-names-request-iana", value: Names{Dialect: IANA, Token: Secret(vectorToken), KeepAlive: true}},
	{file: "D07-names-response-iana", decode: DecodeNames, value: ServerNames{
		Names: []string{"ntp1.example.net", "ntp2.example.net"}, KeepAlive: IANA}},
	{file: "D08-fixed-key-request-iana", value: FixedKey{
		Dialect: IANA, Token: Secret(vectorToken), Protocol: NTPv4, Algorithm: 15,
		C2S: vectorC2S, S2C: vectorS2C, KeepAlive: true}},
	{file: "D09-fixed-key-response-iana", decode: DecodeResponse, value: Established{
		Protocol: NTPv4, Algorithm: 15, Cookies: [][]byte{cookie0, cookie1},
		Server: "ntp1.example.net", Port: 1231, KeepAlive: IANA}},
	{file: "D10-pool-answer", decode: DecodeResponse, value: Established{
		Protocol: NTPv4, Algorithm: 15, Cookies: [][]byte{cookie0, cookie1},
		Server: "ntp1.example.net", Port: 1231}},
	{file: "D10b-pool-answer-with-inserted-server", decode: DecodeResponse, value: Established{
		Protocol: NTPv4, Algorithm: 15, Cookies: [][]byte{cookie0}, Server: "a.example.net"}},
	{file: "D11-error-unrecognized-critical", decode: DecodeResponse, value: Failure{UnrecognizedCriticalRecord}},
	{file: "D11-error-bad-request", decode: DecodeResponse, value: Failure{BadRequest}},
	{file: "D11-error-internal", decode: DecodeResponse, value: Failure{InternalServerError}},
	{file: "D11-error-private-f000", decode: DecodeResponse, value: Failure{0xf000}},
	{file: "D11-error-private-f001", decode: DecodeSupported, value: Failure{0xf001}},
	{file: "D11-error-private-f002", decode: DecodeNames, value: Failure{0xf002}},
	{file: "D11-error-private-f003", decode: DecodeResponse, value: Failure{0xf003}},
	{file: "D12-no-common-protocol", decode: DecodeResponse, value: NoOverlap{}},
	{file: "D13-no-common-algorithm", decode: DecodeResponse, value: NoOverlap{Protocol: []Protocol{NTPv4}}},
	{file: "D14-monitor-request-private", refuse: ErrUnrecognizedCritical},
	{file: "D15-information-request-draft", value: Information{
		Dialect: Draft, Token: Secret(vectorToken), Protocols: true, Algorithms: true, KeepAlive: true}},
	{file: "D16-fixed-key-request-draft", value: FixedKey{
		Dialect: Draft, Token: Secret(vectorToken), Protocol: NTPv4, Algorithm: 15,
		C2S: vectorC2S, S2C: vectorS2C, KeepAlive: true}},
	{file: "D17-information-request-client-certificate", value: Information{
		Dialect: ClientCertificate, Algorithms: true}},
	{file: "D18-fixed-key-request-client-certificate", value: FixedKey{
		Dialect: ClientCertificate, Protocol: NTPv4, Algorithm: 15, C2S: vectorC2S, S2C: vectorS2C}},
}

func TestVectorsRoundTripAsRecords(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.hex")
	if err != nil || len(files) != len(vectors) {
		t.Fatalf("%d vector files, %d expected (%v)", len(files), len(vectors), err)
	}
	for _, v := range vectors {
		msg := vector(t, v.file)
		records, err := SplitMessage(msg)
		if err != nil {
			t.Errorf("%s: %v", v.file, err)
			continue
		}
		again, err := AppendMessage(nil, records...)
		if err != nil || !bytes.Equal(again, msg) {
			t.Errorf("%s: encoded again as %x (%v)", v.file, again, err)
		}
	}
}

func TestVectorsRoundTripAsValues(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.file, func(t *testing.T) {
			msg := vector(t, v.file)
			var got any
			var again []byte
			var err, encodeErr error
			if v.decode != nil {
				var resp Response
				if resp, err = v.decode(msg); err == nil {
					again, encodeErr = AppendResponse(nil, resp)
				}
				got = resp
			} else {
				var req Request
				if req, err = DecodeRequest(msg, everybody); err == nil {
					again, encodeErr = AppendRequest(nil, req)
				}
				got = req
			}
			if v.refuse != nil {
				if !errors.Is(err, v.refuse) {
					t.Fatalf("error %v, want %v", err, v.refuse)
				}
				return
			}
			if err != nil || encodeErr != nil {
				t.Fatalf("decode: %v, encode: %v", err, encodeErr)
			}
			if !reflect.DeepEqual(got, v.value) {
				t.Errorf("decoded as\n%#v, want\n%#v", plain(got), plain(v.value))
			}
			if !bytes.Equal(again, msg) {
				t.Errorf("encoded again as\n%x, want\n%x", again, msg)
			}
		})
	}
}

// everybody authorises every sender.
func everybody(Secret) bool { return true }

// vector reads a file of hexadecimal digits; # begins a comment.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "vectors", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(line)
	}
	return fromHex(digits.String())
}

// fromHex decodes hexadecimal digits; white space does not count.
func fromHex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// plain shows secrets in a failing test.
func plain(v any) any {
	if q, ok := v.(FixedKey); ok {
		return []any{q.Dialect, string(q.Token), q.Protocol, q.Algorithm, []byte(q.C2S), []byte(q.S2C), q.KeepAlive}
	}
	return v
}

package nts

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// addVectors seeds a fuzz target with every vector.
func addVectors(f *testing.F) {
	files, err := filepath.Glob("testdata/vectors/*.hex")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		if _, err := os.Stat(file); err != nil {
			f.Fatal(err)
		}
		f.Add(vector(f, name))
	}
}

// FuzzRecords: whatever splits into records is made of exactly those records.
func FuzzRecords(f *testing.F) {
	addVectors(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		records, err := SplitMessage(msg)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		again, err := AppendMessage(nil, records...)
		if err != nil || !bytes.Equal(again, msg) {
			t.Fatalf("%x became %x (%v)", msg, again, err)
		}
	})
}

// FuzzRequest: a request that decodes has an encoding that decodes to the same
// value; nobody is authorised by accident; and every request gets an answer
// that decodes.
func FuzzRequest(f *testing.F) {
	addVectors(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, authorised := range []func(Secret) bool{nil, everybody} {
			req, err := DecodeRequest(msg, authorised)
			if err != nil {
				if CodeOf(err) != UnrecognizedCriticalRecord && !errors.Is(err, ErrMalformed) {
					t.Fatalf("error of another kind: %v", err)
				}
				continue
			}
			if _, ordinary := req.(KeyExchange); authorised == nil && !ordinary {
				t.Fatalf("a stranger made a %T", req)
			}
			again, err := AppendRequest(nil, req)
			if err != nil {
				t.Fatal(err)
			}
			// A token that was shown for nothing is not part of the value.
			got, err := DecodeRequest(again, everybody)
			if err != nil || !reflect.DeepEqual(got, req) {
				t.Fatalf("%v became %v (%v)", req, got, err)
			}
			answers(t, req)
		}
	})
}

// answers checks that a server has an answer for the request, and that the
// answer decodes.
func answers(t *testing.T, req Request) {
	s := Server{NTPServer: "ntp.example.net"}
	msg, answer, err := s.Respond(nil, req, Session{Export: exportText, Seal: sealText, KeepAlive: true})
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
	if resp, err := decode(msg); err != nil {
		t.Fatalf("%v answered with %x: %v, %v", req, msg, resp, err)
	}
}

// FuzzResponse: an answer that decodes is within its bounds and has an
// encoding that decodes to the same value.
func FuzzResponse(f *testing.F) {
	addVectors(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, decode := range []func([]byte) (Response, error){DecodeResponse, DecodeSupported, DecodeNames} {
			resp, err := decode(msg)
			if err != nil {
				if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnrecognizedCritical) {
					t.Fatalf("error of another kind: %v", err)
				}
				continue
			}
			if est, ok := resp.(Established); ok {
				if n := len(est.Cookies); n < 1 || n > MaxCookies || est.Server != "" && !ValidServer(est.Server) {
					t.Fatalf("out of bounds: %v", est)
				}
			}
			again, err := AppendResponse(nil, resp)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(again)
			if err != nil || !reflect.DeepEqual(got, resp) {
				t.Fatalf("%v became %v (%v)", resp, got, err)
			}
		}
	})
}

package nts_test

import (
	"fmt"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// A client's request, and the answer of a server that has nothing to offer it.
func Example() {
	msg, err := nts.AppendRequest(nil, nts.KeyExchange{
		Protocols:  []nts.Protocol{nts.NTPv4},
		Algorithms: []aead.Algorithm{99},
	})
	if err != nil {
		panic(err)
	}
	fmt.Printf("request %x\n", msg)

	req, err := nts.DecodeRequest(msg, nil)
	if err != nil {
		panic(err)
	}
	server := nts.Server{NTPServer: "ntp.example.net"}
	out, answer, err := server.Respond(nil, req, nts.Session{})
	fmt.Printf("answer  %x (%v, %v)\n", out, answer, err)
	// Output:
	// request 80010002000080040002006380000000
	// answer  8001000200008004000080000000 (no-algorithm, <nil>)
}

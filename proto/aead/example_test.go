package aead_test

import (
	"fmt"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// A request is authenticated by the client and checked by the server. In
// earnest the key comes from the key exchange and the nonce from a
// cryptographically secure source.
func ExampleAppendField() {
	c2s, err := aead.New(aead.AESSIVCMAC256, []byte("a key of exactly 32 octets......"))
	if err != nil {
		fmt.Println(err)
		return
	}
	h := proto.Header{Version: 4, Mode: proto.ModeClient}
	request, err := aead.AppendField(h.Append(nil), c2s, []byte("sixteen octets!!"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	open := func(request []byte) {
		p, err := proto.ParsePacket(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		for f := range p.All() {
			if f.Type == proto.FieldAuthenticator {
				_, err := aead.OpenField(nil, request, f, c2s)
				fmt.Println(err)
			}
		}
	}
	open(request)
	request[20] ^= 1
	open(request)
	// Output:
	// <nil>
	// aead: message is not authentic
}
